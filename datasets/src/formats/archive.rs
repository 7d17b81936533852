//! Images that lie in archives beside the rows: zips, tars, and tars in gzip, either of which may be cut into parts
//! (`X.tar.gz.part_aa`, `X.tar.gz.part_ab`, ...).
//!
//! Nothing is unpacked under the name it has in an archive. A gzip cannot be read from the middle, so it is unpacked
//! once, as one nameless file that the system takes away with the process.

use super::{Fault, Mapped};
use crate::{Error, ImageRef, Part, Result};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zip::ZipArchive;

/// An image in an archive may unpack to this many bytes.
const MAX_BYTES: u64 = 128 << 20;
/// A gzip may unpack to this many times its size, and to [`MAX_BYTES`] in any case: images hardly shrink.
const MAX_RATIO: u64 = 50;

/// An archive with its table of contents in memory.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Zip(Mutex<ZipArchive<BufReader<File>>>),
    /// The tar and where in it files lie: start and size.
    Tar(Arc<Mutex<File>>, HashMap<String, (u64, u64)>),
}

/// The zips in `folders`.
///
/// # Errors
/// A folder or a zip cannot be read.
pub(super) fn zips(folders: &[PathBuf]) -> Result<Vec<Archive>> {
    let mut out = Vec::new();
    for path in listing(folders)?.into_iter().filter(|p| p.extension().is_some_and(|e| e == "zip")) {
        let file = BufReader::new(File::open(&path).map_err(Error::io(&path))?);
        let zip = ZipArchive::new(file).map_err(|e| Error::file(&path, format!("not a zip: {e}")))?;
        out.push(Archive { path, kind: Kind::Zip(Mutex::new(zip)) });
    }
    Ok(out)
}

/// The tars in `folders`; those in gzip are unpacked into a nameless file in `spool`.
///
/// # Errors
/// A folder or a tar cannot be read, or a part is missing.
pub(super) fn tars(folders: &[PathBuf], spool: &Path) -> Result<Vec<Archive>> {
    let mut wholes: BTreeMap<PathBuf, Vec<(String, PathBuf)>> = BTreeMap::new();
    for path in listing(folders)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some((whole, part)) = parted(&name) {
            wholes.entry(path.with_file_name(whole)).or_default().push((part.to_owned(), path.clone()));
        }
    }
    let open = |(path, mut parts): (PathBuf, Vec<_>)| {
        parts.sort();
        consecutive(&path, &parts)?;
        tar(path, &parts.into_iter().map(|(_, path)| path).collect::<Vec<_>>(), spool)
    };
    wholes.into_iter().map(open).collect()
}

fn listing(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for folder in folders.iter().filter(|f| f.is_dir()) {
        let from = paths.len();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            paths.push(entry.map_err(Error::io(folder))?.path());
        }
        paths[from..].sort();
    }
    Ok(paths)
}

/// The name of the whole tar and the letters or digits of the part: `("X.tar.gz", "aa")` of `X.tar.gz.part_aa`.
fn parted(name: &str) -> Option<(&str, &str)> {
    let end = [".tar.gz", ".tgz", ".tar"].iter().find_map(|e| name.find(e).map(|at| at + e.len()))?;
    let (whole, tail) = name.split_at(end);
    let marks = ['.', '_', '-'];
    let bare = tail.trim_start_matches(marks);
    let said = bare.strip_prefix("part").map(|part| part.trim_start_matches(marks));
    let part = said.unwrap_or(bare);
    // `X.tar.gz.asc` is no part, `X.tar.gz.aa` is one.
    let letters = if said.is_some() { 3 } else { 2 };
    let counts = |most: usize, ok: fn(&char) -> bool| part.len() <= most && part.chars().all(|c| ok(&c));
    let known = counts(4, char::is_ascii_digit) || counts(letters, char::is_ascii_lowercase);
    (known && (tail.is_empty() || !part.is_empty())).then_some((whole, part))
}

/// A tar without one of its parts would seem to hold fewer images.
fn consecutive(path: &Path, parts: &[(String, PathBuf)]) -> Result<()> {
    let number = |part: &str| {
        part.bytes().fold(0u64, |n, b| match b {
            b'0'..=b'9' => n * 10 + u64::from(b - b'0'),
            _ => n * 26 + u64::from(b.wrapping_sub(b'a')),
        })
    };
    let first = number(&parts[0].0);
    // Digits may count from 1, letters start at `a`.
    let counts_from_one = first == 1 && parts[0].0.ends_with('1');
    if parts.len() > 1 && parts[0].0.is_empty() {
        return Err(Error::file(path, "lies here whole and in parts: keep one of them"));
    }
    for (k, (part, _)) in parts.iter().enumerate() {
        if number(part) != k as u64 + u64::from(counts_from_one) {
            let message = format!("part {} of it is missing: after {k} parts comes `{part}`", k + 1);
            return Err(Error::file(path, message));
        }
    }
    Ok(())
}

fn tar(path: PathBuf, parts: &[PathBuf], spool: &Path) -> Result<Archive> {
    let mut first = File::open(&parts[0]).map_err(Error::io(&parts[0]))?;
    let mut magic = [0; 2];
    let zipped = first.read(&mut magic).map_err(Error::io(&parts[0]))? == 2 && magic == [0x1f, 0x8b];
    first.rewind().map_err(Error::io(&parts[0]))?;
    let file = match (zipped, parts.len()) {
        (false, 1) => first,
        _ => joined(&path, parts, zipped, spool)?,
    };
    let files = contents(&file).map_err(|e| Error::file(&path, format!("not a whole tar: {e}")))?;
    Ok(Archive { path, kind: Kind::Tar(Arc::new(Mutex::new(file)), files) })
}

/// The parts one after another in a nameless file, unpacked where they are a gzip.
fn joined(path: &Path, parts: &[PathBuf], zipped: bool, spool: &Path) -> Result<File> {
    let mut chain: Box<dyn Read> = Box::new(std::io::empty());
    let mut size = 0;
    for part in parts {
        let file = File::open(part).map_err(Error::io(part))?;
        size += file.metadata().map_err(Error::io(part))?.len();
        chain = Box::new(chain.chain(file));
    }
    let chain = BufReader::with_capacity(1 << 20, chain);
    let chain: Box<dyn Read> =
        if zipped { Box::new(flate2::read::MultiGzDecoder::new(chain)) } else { Box::new(chain) };
    let most = size.saturating_mul(MAX_RATIO).max(MAX_BYTES);
    let mut file = tempfile::tempfile_in(spool).map_err(Error::io(spool))?;
    let copied = std::io::copy(&mut chain.take(most + 1), &mut file);
    let copied = copied.map_err(|e| Error::file(path, format!("cannot be unpacked: {e}")))?;
    if copied > most {
        return Err(Error::file(path, format!("unpacks to more than {MAX_RATIO} times its {size} bytes")));
    }
    file.flush().and_then(|()| file.rewind()).map_err(Error::io(spool))?;
    Ok(file)
}

/// Regular files whose path stays inside, by that path.
fn contents(file: &File) -> std::io::Result<HashMap<String, (u64, u64)>> {
    let mut out = HashMap::new();
    let mut tar = tar::Archive::new(BufReader::new(file));
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(path) = inside(&path).filter(|_| entry.header().entry_type().is_file()) {
            out.insert(path, (entry.raw_file_position(), entry.size()));
        }
    }
    Ok(out)
}

/// The path without `./`, unless it climbs out.
fn inside(path: &str) -> Option<String> {
    let parts = Path::new(path).components().filter(|c| *c != Component::CurDir);
    let parts = parts.map(|c| if let Component::Normal(name) = c { name.to_str() } else { None });
    Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
}

impl Archive {
    /// The file at `path`, if it has one; `field` is for the fault.
    pub(super) fn read(&self, field: &str, path: &str) -> Mapped<Option<ImageRef>> {
        let fault = |e: String| Fault::new(field, format!("{}:{path}: {e}", self.path.display()));
        let name = path.to_owned();
        match &self.kind {
            Kind::Zip(zip) => {
                let bytes = read_zip(&mut zip.lock().unwrap_or_else(PoisonError::into_inner), path);
                Ok(bytes.map_err(fault)?.map(|bytes| ImageRef::Bytes { bytes: bytes.into(), name }))
            }
            Kind::Tar(file, files) => {
                let place = inside(path).and_then(|path| files.get(&path).copied());
                let part = place.map(|place| in_tar(file, place)).transpose().map_err(fault)?;
                Ok(part.map(|part| ImageRef::Part { part, name }))
            }
        }
    }
}

fn read_zip(
    zip: &mut ZipArchive<BufReader<File>>,
    path: &str,
) -> std::result::Result<Option<Vec<u8>>, String> {
    let Some(index) = zip.index_for_name(path) else { return Ok(None) };
    let entry = zip.by_index(index).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    // The size that a header claims is not trusted: the reader itself stops at the limit.
    entry.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(format!("unpacks to more than {MAX_BYTES} bytes")),
        false => Ok(Some(bytes)),
    }
}

/// The entry, which stays where it is: a benchmark's tars hold more than memory does.
fn in_tar(file: &Arc<Mutex<File>>, (start, size): (u64, u64)) -> std::result::Result<Part, String> {
    if size > MAX_BYTES {
        return Err(format!("has {size} bytes, the limit is {MAX_BYTES}"));
    }
    let whole =
        file.lock().unwrap_or_else(PoisonError::into_inner).metadata().map_err(|e| e.to_string())?.len();
    match whole.saturating_sub(start) {
        left if left < size => Err(format!("ends after {left} of {size} bytes")),
        _ => Ok(Part::plain(file.clone(), start, size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_by_their_names() {
        assert_eq!(parted("X.tar.gz.part_aa"), Some(("X.tar.gz", "aa")));
        assert_eq!(parted("X.tgz.001"), Some(("X.tgz", "001")));
        assert_eq!(parted("X.tar.gzab"), Some(("X.tar.gz", "ab")));
        assert_eq!(parted("X.tar"), Some(("X.tar", "")));
        assert_eq!(parted("X.tar.part_ab"), Some(("X.tar", "ab")));
        for other in
            ["X.tar.gz.md5sum", "X.tar.gz.asc", "X.tar.gz.json", "X.zip", "X.tarot.png", "X.tar.part_"]
        {
            assert_eq!(parted(other), None, "{other}");
        }
    }

    #[test]
    fn a_gap_between_parts_is_seen() {
        let parts =
            |names: &[&str]| -> Vec<_> { names.iter().map(|n| ((*n).to_owned(), PathBuf::new())).collect() };
        let check =
            |names: &[&str]| consecutive(Path::new("X.tar"), &parts(names)).map_err(|e| e.to_string());
        for whole in
            [&["aa", "ab", "ac"][..], &["00", "01"], &["001", "002"], &["az"][..0], &[""], &["a", "b"]]
        {
            if !whole.is_empty() {
                check(whole).unwrap();
            }
        }
        assert!(check(&["aa", "ac"]).unwrap_err().contains("part 2"));
        assert!(check(&["ab", "ac"]).unwrap_err().contains("part 1"));
        assert!(check(&["", "aa"]).unwrap_err().contains("whole and in parts"));
    }
}
