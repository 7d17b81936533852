//! Samples to files: parquet that Python's `datasets` decodes, JSONL beside an image folder, WebDataset shards.

use crate::{DecodeLimits, Encoded, Error, ImageRef, Result, Sample};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub mod jsonl;
pub mod parquet;
pub mod webdataset;

/// Writes `path` so that it is either whole or absent, also after a power cut: a sibling is written, synced and
/// renamed.
pub(crate) fn whole(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    placed(path, true, fill)
}

/// As [`whole`], but only for the end of a process: the system writes to the disk when it likes.
pub(crate) fn renamed(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    placed(path, false, fill)
}

fn placed(path: &Path, sync: bool, fill: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let sibling = path.with_file_name(name);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&sibling).map_err(Error::io(&sibling))?);
    fill(&mut out)?;
    let file = out.into_inner().map_err(|e| Error::io(&sibling)(e.into_error()))?;
    if sync {
        file.sync_all().map_err(Error::io(&sibling))?;
    }
    std::fs::rename(&sibling, path).map_err(Error::io(path))
}

/// One JSON value as a line.
pub(crate) fn line(out: &mut impl Write, path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::file(path, e))?;
    writeln!(out, "{text}").map_err(Error::io(path))
}

/// The metadata as stored: the options of a choice question join it.
fn stored_meta(sample: &Sample) -> Map<String, Value> {
    let mut meta = sample.meta.clone();
    if !sample.choices.is_empty() {
        meta.insert("choices".into(), sample.choices.clone().into());
    }
    meta
}

/// The encoded bytes and the file name of every image.
fn stored_images(sample: &Sample) -> Result<Vec<(Encoded, String)>> {
    let read = |(k, image): (usize, &ImageRef)| {
        let bytes = image.encoded(DecodeLimits::default())?;
        let name = match image {
            ImageRef::Bytes { name, .. } | ImageRef::Part { name, .. } if !name.is_empty() => base(name),
            ImageRef::Path(path) => base(&path.to_string_lossy()),
            _ => format!("image-{k}.{}", ending(&bytes)),
        };
        Ok((bytes, name))
    };
    sample.images.iter().enumerate().map(read).collect()
}

/// The last component of a path, whatever its separators.
fn base(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

/// The usual ending for what the first bytes say.
pub(crate) fn ending(bytes: &[u8]) -> &'static str {
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Jpeg) => "jpg",
        Ok(image::ImageFormat::WebP) => "webp",
        Ok(image::ImageFormat::Bmp) => "bmp",
        _ => "png",
    }
}
