//! What a user points at: a file, a folder of shards, or either with `@split`.

use super::{container, folder};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Endings of files with rows, the better first: of a folder, only the files of the best one are data, so that a
/// README.json beside parquet shards is none.
pub const ENDINGS: [&str; 8] = ["parquet", "jsonl", "json", "tar", "csv", "tsv", "xlsx", "txt"];

/// Files that say something of data and are none.
pub const NOTES: [&str; 6] = [
    "import.json",
    "dataset_info.json",
    "dataset_infos.json",
    "rejects.jsonl",
    "dataset_dict.json",
    "state.json",
];

/// A path with an optional split, as EasyR1 writes it: `folder@train`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file or folder.
    pub path: PathBuf,
    /// What the files' names start with.
    pub split: Option<String>,
}

impl Source {
    /// Reads `path@split`. A path that exists as it is written has no split.
    pub fn parse(text: &str) -> Self {
        let whole = Path::new(text);
        match text.rsplit_once('@') {
            Some((path, split)) if !whole.exists() && !split.contains('/') => {
                Self { path: path.into(), split: Some(split.to_owned()) }
            }
            _ => Self { path: whole.into(), split: None },
        }
    }

    /// The folder of the split, where splits are folders.
    pub(crate) fn folder(&self) -> PathBuf {
        self.split.as_ref().map_or_else(|| self.path.clone(), |split| self.path.join(split))
    }
}

/// The files that hold the rows of `source`, in the order of their names: the file itself, or those of the folder (or
/// of its `data`) with an ending that can be read and, given a split, a name that starts with it; else the folders of one
/// row each that lie in it or, given a split, in the folder of that name.
///
/// # Errors
/// Nothing is there, or nothing that can be read.
pub fn find(source: &Source) -> Result<Vec<PathBuf>> {
    let path = &source.path;
    if std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
        return Ok(vec![path.clone()]);
    }
    for folder in [path.clone(), path.join("data")] {
        let mut files = listing(&folder)?;
        if let Some(split) = &source.split {
            files.retain(|f| named(f).starts_with(split.as_str()));
        }
        for ending in ENDINGS {
            let of: Vec<_> =
                files.iter().filter(|f| f.extension().is_some_and(|e| e == ending)).cloned().collect();
            if !of.is_empty() {
                return Ok(of);
            }
        }
    }
    let folders = folder::all(&source.folder())?;
    if !folders.is_empty() {
        return Ok(folders);
    }
    let splits = folder::splits(path)?;
    if !splits.is_empty() {
        return Err(Error::file(path, format!("its folders of rows are @{}: say one", splits.join(", @"))));
    }
    let split = source.split.as_deref().map(|s| format!(" of split `{s}`")).unwrap_or_default();
    Err(Error::file(path, format!("holds no file{split} that can be read as rows")))
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let is_data = path.is_file() && container(&path).is_some() && !NOTES.contains(&named(&path));
        out.extend(is_data.then_some(path));
    }
    out.sort();
    Ok(out)
}

fn named(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).unwrap_or("")
}
