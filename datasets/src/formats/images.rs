//! From an images column to [`ImageRef`]s: bytes, structs of bytes and path, paths, base64, and the folders and
//! archives in which paths are looked up.

use super::archive::{self, Archive};
use super::{Columns, Fault, Mapped, mme::base64_text};
use crate::read::{Cell, Source, kind};
use crate::{ImageRef, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A row may have this many images.
const MAX_IMAGES: usize = 256;
/// Endings by which a file of a WebDataset sample is an image.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// Where images that are named by a path are found.
#[derive(Debug, Default)]
pub struct ImageStore {
    roots: Vec<PathBuf>,
    spool: PathBuf,
    zips: Vec<Archive>,
    /// Opened for the first image that lies nowhere else, as that may mean unpacking them.
    tars: OnceLock<std::result::Result<Vec<Archive>, String>>,
}

impl ImageStore {
    /// Looks in `roots`, in their order, then in the zips and then in the tars that lie in them; a tar in gzip is
    /// unpacked into a nameless file in `spool`.
    ///
    /// # Errors
    /// A folder or a zip cannot be read.
    pub fn open(roots: Vec<PathBuf>, spool: &Path) -> Result<Self> {
        let zips = archive::zips(&roots)?;
        Ok(Self { roots, spool: spool.to_path_buf(), zips, tars: OnceLock::new() })
    }

    /// The images in the first of `names` that is there; none is no fault.
    pub(super) fn take(&self, columns: &mut Columns, names: &[&str]) -> Mapped<Vec<ImageRef>> {
        self.take_ending(columns, names, "")
    }

    /// As [`ImageStore::take`]; a path that is not found is tried with `ending`.
    pub(super) fn take_ending(
        &self,
        columns: &mut Columns,
        names: &[&str],
        ending: &str,
    ) -> Mapped<Vec<ImageRef>> {
        let Some(name) = names.iter().find(|n| columns.has(n)).copied() else { return Ok(vec![]) };
        let Some(cell) = columns.take(name) else { return Ok(vec![]) };
        let mut out = Vec::new();
        self.collect(name, cell, ending, &mut out)?;
        Ok(out)
    }

    /// Images as base64 text (or as bytes that hold such text).
    pub(super) fn take_base64(&self, columns: &mut Columns, names: &[&str]) -> Mapped<Vec<ImageRef>> {
        let name = names.iter().find(|n| columns.has(n)).copied().unwrap_or(names[0]);
        let cell = columns.take(name).ok_or_else(|| Fault::new(name, "the image is missing or null"))?;
        let text = base64_text(cell).ok_or_else(|| Fault::new(name, "expected base64 text"))?;
        Ok(vec![decoded(name, &text)?])
    }

    /// The image files of a WebDataset sample, in the order of the shard.
    pub(super) fn take_files(&self, columns: &mut Columns) -> Mapped<Vec<ImageRef>> {
        let is_image = |name: &str| ENDINGS.contains(&name.rsplit('.').next().unwrap_or(""));
        let names: Vec<_> = columns.fields.iter().map(|(n, _)| n.clone()).filter(|n| is_image(n)).collect();
        let mut out = Vec::new();
        for name in names {
            if let Some(cell) = columns.take(&name) {
                self.collect(&name, cell, "", &mut out)?;
            }
        }
        Ok(out)
    }

    fn collect(&self, name: &str, cell: Cell, ending: &str, out: &mut Vec<ImageRef>) -> Mapped<()> {
        if out.len() >= MAX_IMAGES {
            return Err(Fault::new(name, format!("more than {MAX_IMAGES} images")));
        }
        match cell {
            Cell::Bytes(bytes) => out.push(ImageRef::Bytes { bytes, name: String::new() }),
            Cell::List(cells) => {
                for cell in cells {
                    self.collect(name, cell, ending, out)?;
                }
            }
            Cell::Struct(fields) => self.collect_struct(name, fields, ending, out)?,
            Cell::Json(Value::Array(list)) => {
                for value in list {
                    self.collect(name, Cell::Json(value), ending, out)?;
                }
            }
            Cell::Json(Value::Object(map)) => {
                let fields = map.into_iter().map(|(k, v)| (k, Cell::Json(v))).collect();
                self.collect_struct(name, fields, ending, out)?;
            }
            Cell::Json(Value::String(text)) => out.push(self.resolve(name, &text, ending)?),
            Cell::Json(other) => {
                return Err(Fault::new(name, format!("expected an image, found {}", kind(&other))));
            }
        }
        Ok(())
    }

    /// `{bytes, path}` of the Hugging Face image feature (either may be null), verl's `{image}`, a message's `{url}`.
    fn collect_struct(
        &self,
        name: &str,
        fields: Vec<(String, Cell)>,
        ending: &str,
        out: &mut Vec<ImageRef>,
    ) -> Mapped<()> {
        let mut path = None;
        let later = |mut rest: std::vec::IntoIter<(String, Cell)>| {
            rest.find_map(|(key, cell)| match (key.as_str(), cell) {
                ("path", Cell::Json(Value::String(path))) => Some(path),
                _ => None,
            })
        };
        let mut fields = fields.into_iter();
        while let Some((key, cell)) = fields.next() {
            match (key.as_str(), cell) {
                (_, cell) if cell.is_null() => {}
                ("bytes", Cell::Bytes(bytes)) => {
                    let name = path.or(later(fields)).unwrap_or_default();
                    out.push(ImageRef::Bytes { bytes, name });
                    return Ok(());
                }
                ("bytes", Cell::Json(Value::String(text))) => {
                    out.push(decoded(name, &text)?);
                    return Ok(());
                }
                ("path", Cell::Json(Value::String(text))) => path = Some(text),
                ("image" | "image_url" | "url", cell) => return self.collect(name, cell, ending, out),
                _ => {}
            }
        }
        match path {
            Some(path) => {
                out.push(self.resolve(name, &path, ending)?);
                Ok(())
            }
            None => Err(Fault::new(name, "an image with neither bytes nor path")),
        }
    }

    fn resolve(&self, name: &str, text: &str, ending: &str) -> Mapped<ImageRef> {
        if text.starts_with("data:image/") {
            return decoded(name, text.split_once(',').map_or("", |(_, data)| data));
        }
        let text = text.strip_prefix("file://").unwrap_or(text);
        for path in [text.to_owned(), format!("{text}{ending}")] {
            let found = self.roots.iter().map(|root| root.join(&path)).find(|p| p.is_file());
            if let Some(found) = found {
                return Ok(ImageRef::Path(found));
            }
            for archive in &self.zips {
                if let Some(image) = archive.read(name, &path)? {
                    return Ok(image);
                }
            }
        }
        let tars =
            self.tars.get_or_init(|| archive::tars(&self.roots, &self.spool).map_err(|e| e.to_string()));
        let tars = tars.as_ref().map_err(|e| Fault::new(name, format!("no file `{text}`; {e}")))?;
        for path in [text.to_owned(), format!("{text}{ending}")] {
            for archive in tars {
                if let Some(image) = archive.read(name, &path)? {
                    return Ok(image);
                }
            }
        }
        Err(Fault::new(name, format!("no file `{text}`")))
    }
}

/// The folders to look in for what `source` names: an explicit one, the source's own, that of its split where splits are
/// folders, and those folders' `images`.
pub(crate) fn roots_for(source: &Source, explicit: Option<&Path>) -> Vec<PathBuf> {
    let path = source.path.as_path();
    let own = if path.is_dir() { Some(path) } else { path.parent() };
    let mut out: Vec<PathBuf> = explicit.into_iter().chain(own).map(Path::to_path_buf).collect();
    let split = source.folder();
    out.extend((split != source.path && split.is_dir()).then_some(split));
    let inner: Vec<_> = out.iter().map(|root| root.join("images")).filter(|p| p.is_dir()).collect();
    out.extend(inner);
    out
}

fn decoded(name: &str, text: &str) -> Mapped<ImageRef> {
    let bytes = base64(text.as_bytes()).ok_or_else(|| Fault::new(name, "not base64"))?;
    Ok(ImageRef::Bytes { bytes: bytes.into(), name: String::new() })
}

/// Standard base64, white space allowed, padding optional.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    let body = text.iter().filter(|b| !b.is_ascii_whitespace());
    let body: Vec<u8> = body.copied().collect();
    let end = body.iter().rposition(|&b| b != b'=').map_or(0, |at| at + 1);
    for &byte in &body[..end] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    (end > 0).then_some(out)
}
