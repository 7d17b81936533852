//! Export: imported data in a layout that other tools read.

use crate::tasks::imported;
use crate::write::{jsonl, webdataset};
use crate::{Error, Result, Sample};
use std::path::Path;

/// A layout to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `data.jsonl` and a folder of images.
    Jsonl,
    /// Tar shards of so many samples.
    WebDataset(usize),
}

/// The samples of an imported folder.
///
/// # Errors
/// The folder holds no import, or a row is broken.
pub fn samples(folder: &Path) -> Result<Vec<Sample>> {
    let data = folder.join("data.parquet");
    if !data.is_file() {
        return Err(Error::file(folder, "holds no data.parquet: import first"));
    }
    imported(&data)
}

/// Writes the import in `folder` to `out` and returns its rows.
///
/// # Errors
/// The folder holds no import, or a file cannot be written.
pub fn export(folder: &Path, layout: Layout, out: &Path) -> Result<u64> {
    let samples = samples(folder)?;
    let rows = samples.len() as u64;
    match layout {
        Layout::Jsonl => jsonl::write(samples.into_iter().map(Ok), out).map(|_| rows),
        Layout::WebDataset(per_shard) => {
            webdataset::write(samples.into_iter().map(Ok), out, per_shard).map(|_| rows)
        }
    }
}
