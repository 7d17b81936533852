//! Export: imported data in a layout that other tools read.

use crate::tasks::imported;
use crate::write::{jsonl, webdataset};
use crate::{Error, Result, Sample, Split};
use std::path::Path;

/// A layout to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `data.jsonl` and a folder of images.
    Jsonl,
    /// Tar shards of so many samples.
    WebDataset(usize),
}

/// The samples of a split of an imported folder.
///
/// # Errors
/// The folder holds no import, or none of that split, or a row is broken.
pub fn samples(folder: &Path, split: Split) -> Result<Vec<Sample>> {
    let name = match split {
        Split::Train => "data.parquet",
        Split::Test => "validation.parquet",
    };
    let data = folder.join(name);
    if !data.is_file() {
        return Err(Error::file(folder, format!("holds no {name}: import it first")));
    }
    imported(&data)
}

/// Writes a split of the import in `folder` to `out` and returns its rows.
///
/// # Errors
/// The folder holds no such import, or a file cannot be written.
pub fn export(folder: &Path, split: Split, layout: Layout, out: &Path) -> Result<u64> {
    let samples = samples(folder, split)?;
    let rows = samples.len() as u64;
    match layout {
        Layout::Jsonl => jsonl::write(samples.into_iter().map(Ok), out).map(|_| rows),
        Layout::WebDataset(per_shard) => {
            webdataset::write(samples.into_iter().map(Ok), out, per_shard).map(|_| rows)
        }
    }
}
