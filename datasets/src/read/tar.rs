//! WebDataset shards: files with the same name up to the first dot are one sample.
//!
//! Nothing is unpacked to disk. An entry that climbs out (`..`, absolute) or is a link is a bad row of its own, and
//! so is what follows a broken header: there is no telling where the next one starts.

use super::{Cell, Fields, RawRow, Rows, Seen};
use crate::Result;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::path::{Component, Path};
use tar::{EntryType, Header, PaxExtensions};

/// One entry may hold this many bytes.
const MAX_ENTRY: u64 = 512 << 20;
/// A long name or a PAX header may hold this many.
const MAX_NAME: u64 = 1 << 20;
/// Tar counts in blocks of this many bytes.
const BLOCK: u64 = 512;

pub(super) fn rows(path: &Path, seen: &Seen) -> Result<Rows> {
    let file = seen.open(path)?;
    let mut walk = Walk { reader: BufReader::with_capacity(1 << 20, file), long_name: None, done: false };
    let mut groups = Groups::default();
    Ok(Box::new(std::iter::from_fn(move || {
        while groups.ready.is_empty() && !walk.done {
            match walk.next() {
                Some(part) => groups.take(part),
                None => groups.close(),
            }
        }
        groups.ready.pop_front()
    })))
}

/// A file of the shard and its bytes, or why it cannot be used.
struct Part {
    name: String,
    bytes: std::result::Result<Vec<u8>, String>,
}

struct Walk<R> {
    reader: R,
    long_name: Option<String>,
    done: bool,
}

impl<R: Read> Walk<R> {
    fn next(&mut self) -> Option<Part> {
        loop {
            match self.step() {
                Ok(Some(None)) => {}
                Ok(Some(part)) => return part,
                Ok(None) => {
                    self.done = true;
                    return None;
                }
                Err(reason) => {
                    self.done = true;
                    return Some(Part { name: String::new(), bytes: Err(reason) });
                }
            }
        }
    }

    /// One header and what belongs to it: `None` at the end, `Some(None)` for what is no file of a sample.
    fn step(&mut self) -> std::result::Result<Option<Option<Part>>, String> {
        let mut header = Header::new_old();
        match self.reader.read_exact(header.as_mut_bytes()) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other.map_err(|e| e.to_string())?,
        }
        if header.as_bytes().iter().all(|&b| b == 0) {
            return Ok(None);
        }
        check_sum(&header)?;
        let size = header.entry_size().map_err(|e| format!("tar header: {e}"))?;
        let kind = header.entry_type();
        if matches!(kind, EntryType::GNULongName | EntryType::XHeader) {
            self.long_name = self.read_name(kind, size)?.or(self.long_name.take());
            return Ok(Some(None));
        }
        let own = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let name = self.long_name.take().unwrap_or(own);
        match refusal(&name, kind, size) {
            Some(Refusal::Ignore) => self.skip(size).map(|()| Some(None)),
            Some(Refusal::Bad(reason)) => {
                self.skip(size)?;
                Ok(Some(Some(Part { bytes: Err(format!("tar entry `{name}`: {reason}")), name })))
            }
            None => {
                let bytes = self.read(size).map_err(|e| format!("tar entry `{name}`: {e}"))?;
                Ok(Some(Some(Part { name, bytes: Ok(bytes) })))
            }
        }
    }

    fn read_name(&mut self, kind: EntryType, size: u64) -> std::result::Result<Option<String>, String> {
        if size > MAX_NAME {
            return Err(format!("a name of {size} bytes, the limit is {MAX_NAME}"));
        }
        let bytes = self.read(size)?;
        if kind == EntryType::GNULongName {
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            return Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()));
        }
        let mut pairs = PaxExtensions::new(&bytes).flatten();
        Ok(pairs
            .find(|p| p.key_bytes() == b"path")
            .map(|p| String::from_utf8_lossy(p.value_bytes()).into_owned()))
    }

    fn read(&mut self, size: u64) -> std::result::Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let got = self.reader.by_ref().take(size).read_to_end(&mut out).map_err(|e| e.to_string())? as u64;
        if got < size {
            return Err(format!("the file ends after {got} of {size} bytes"));
        }
        self.skip_exactly(padding(size))?;
        Ok(out)
    }

    fn skip(&mut self, size: u64) -> std::result::Result<(), String> {
        self.skip_exactly(size.saturating_add(padding(size)))
    }

    fn skip_exactly(&mut self, n: u64) -> std::result::Result<(), String> {
        let got = std::io::copy(&mut self.reader.by_ref().take(n), &mut std::io::sink())
            .map_err(|e| e.to_string())?;
        // The last block's padding may be missing.
        if got < n.saturating_sub(BLOCK) {
            Err(format!("the file ends {} bytes early", n - got))
        } else {
            Ok(())
        }
    }
}

fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

fn check_sum(header: &Header) -> std::result::Result<(), String> {
    let bytes = header.as_bytes();
    let found: u32 = bytes[..148].iter().chain(&bytes[156..]).map(|&b| u32::from(b)).sum::<u32>() + 8 * 32;
    match header.cksum() {
        Ok(stated) if stated == found => Ok(()),
        Ok(stated) => Err(format!("tar header says checksum {stated}, its bytes give {found}")),
        Err(e) => Err(format!("tar header: {e}")),
    }
}

enum Refusal {
    Ignore,
    Bad(String),
}

fn refusal(name: &str, kind: EntryType, size: u64) -> Option<Refusal> {
    if matches!(kind, EntryType::Directory | EntryType::XGlobalHeader) {
        return Some(Refusal::Ignore);
    }
    let climbs = |c: Component| !matches!(c, Component::Normal(_) | Component::CurDir);
    if Path::new(name).components().any(climbs) {
        return Some(Refusal::Bad("its path leaves the archive".into()));
    }
    if !matches!(kind, EntryType::Regular | EntryType::Continuous) {
        return Some(Refusal::Bad("is not a regular file".into()));
    }
    (size > MAX_ENTRY).then(|| Refusal::Bad(format!("{size} bytes, the limit is {MAX_ENTRY}")))
}

/// Files gathered into samples.
#[derive(Default)]
struct Groups {
    key: String,
    fields: Fields,
    row: u64,
    ready: VecDeque<RawRow>,
}

impl Groups {
    fn take(&mut self, part: Part) {
        let bytes = match part.bytes {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.close();
                return self.push(Err(reason));
            }
        };
        let folder = part.name.rfind('/').map_or(0, |at| at + 1);
        let dot = part.name[folder..].find('.').map_or(part.name.len(), |at| folder + at);
        let (key, ending) = part.name.split_at(dot);
        if key != self.key {
            self.close();
            self.key = key.to_owned();
        }
        let ending = ending.trim_start_matches('.').to_ascii_lowercase();
        self.fields.push((ending, Cell::Bytes(bytes.into())));
    }

    /// Ends the sample being gathered.
    fn close(&mut self) {
        let parts = std::mem::take(&mut self.fields);
        if parts.is_empty() {
            return;
        }
        let fields = sample(&self.key, parts);
        self.push(fields);
    }

    fn push(&mut self, fields: std::result::Result<Fields, String>) {
        self.ready.push_back(RawRow { row: self.row, count: 1, fields });
        self.row += 1;
    }
}

/// `json` gives its keys, `txt` and `cls` are text, the rest stays bytes.
fn sample(key: &str, parts: Fields) -> std::result::Result<Fields, String> {
    let mut out = vec![("__key__".to_owned(), Cell::Json(key.into()))];
    for (ending, cell) in parts {
        let bytes = match cell {
            Cell::Bytes(bytes) if ["json", "txt", "cls"].contains(&ending.as_str()) => bytes,
            other => {
                out.push((ending, other));
                continue;
            }
        };
        let text =
            std::str::from_utf8(&bytes).map_err(|e| format!("`{key}.{ending}`: invalid UTF-8: {e}"))?;
        if ending != "json" {
            out.push((ending, Cell::Json(text.trim_end_matches('\n').into())));
            continue;
        }
        match serde_json::from_str(text).map_err(|e| format!("`{key}.json`: not JSON: {e}"))? {
            Value::Object(map) => out.extend(map.into_iter().map(|(k, v)| (k, Cell::Json(v)))),
            other => {
                return Err(format!("`{key}.json`: expected an object, found {}", super::json::kind(&other)));
            }
        }
    }
    Ok(out)
}
