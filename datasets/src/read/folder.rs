//! A folder for each row, as Geometry3K is published: `data.json` with the columns, and pictures beside it, which become
//! columns under their own names that hold their paths, from the folder above on.

use super::{Cell, RawRow, Rows, Seen, json};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The file with the columns.
const COLUMNS: &str = "data.json";
/// Endings of pictures.
const ENDINGS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// The folders of rows that lie in `folder`, numbers in their order, then names in theirs: where one of its folders has
/// the file with the columns, all of them are rows, and those without it are broken ones.
pub(super) fn all(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut rows: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    if !rows.iter().any(|path| columns(path).is_file()) {
        return Ok(vec![]);
    }
    rows.sort_by_cached_key(|path| {
        let name = name(path);
        (name.parse::<u64>().unwrap_or(u64::MAX), name)
    });
    Ok(rows)
}

/// The folders in `folder` that hold folders of rows: its splits.
pub(super) fn splits(folder: &Path) -> Result<Vec<String>> {
    let mut splits = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        if !all(&path)?.is_empty() {
            splits.push(name(&path));
        }
    }
    splits.sort();
    Ok(splits)
}

/// The file that holds the columns of the row in `folder`.
pub(crate) fn columns(folder: &Path) -> PathBuf {
    folder.join(COLUMNS)
}

/// The one row in `folder`.
pub(super) fn rows(folder: &Path, seen: &Seen) -> Result<Rows> {
    let mut pictures: Vec<String> = entries(folder)?.iter().map(|path| name(path)).collect();
    pictures.retain(|name| name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending)));
    pictures.sort();
    let own = name(folder);
    let rows = match json::elements(&columns(folder), seen) {
        Ok(rows) => rows,
        Err(error) => return Ok(Box::new(std::iter::once(RawRow::bad(0, error)))),
    };
    Ok(Box::new(rows.map(move |mut row: RawRow| {
        if let Ok(fields) = &mut row.fields {
            let cell = |name: &String| (name.clone(), Cell::Json(format!("{own}/{name}").into()));
            fields.extend(pictures.iter().map(cell));
        }
        row
    })))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    entries.map(|entry| Ok(entry.map_err(Error::io(folder))?.path())).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
