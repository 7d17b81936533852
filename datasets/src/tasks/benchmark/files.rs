//! Which files of a folder hold a benchmark, and their rows.

use super::Protocol;
use super::images::Shared;
use crate::prep::records::{self, SourceSpec};
use crate::read::Source;
use crate::{Error, Result, Sample};
use std::path::{Path, PathBuf};

/// Folders below the one that is named in which publishers put the files.
const FOLDERS: [&str; 2] = ["", "data"];
/// Endings of files with rows, the better first.
const ENDINGS: [&str; 4] = ["parquet", "tsv", "jsonl", "json"];

/// Every row of the benchmark in `data`, a file or a folder, with `@split` those whose names start so.
pub(super) fn read(protocol: &Protocol, data: &Path) -> Result<Vec<Sample>> {
    let Source { path, split } = Source::parse(&data.display().to_string());
    let data = path.as_path();
    let files = find(protocol, data, split.as_deref())?;
    let mut shared = Shared::default();
    let mut out = Vec::new();
    for file in files {
        // Image paths start at the folder that was named, wherever in it the file lies.
        let images = if data.is_dir() { Some(data.to_path_buf()) } else { None };
        let spec = SourceSpec { source: file.display().to_string(), images, ..SourceSpec::default() };
        let rows = records::open(&spec)?;
        if !protocol.formats.contains(&rows.format) {
            let want = protocol.formats.join(", ");
            let message = format!("is `{}`; task `{}` is read from {want}", rows.format, protocol.name);
            return Err(Error::file(&file, message));
        }
        for record in rows {
            let fault = |message| Error::Row {
                file: record.file.clone(),
                row: record.row,
                field: "row".into(),
                message,
            };
            let mut sample = record.sample.map_err(|reason| fault(reason.to_string()))?;
            (protocol.settle)(&mut sample).map_err(fault)?;
            shared.hold(&mut sample).map_err(|message| Error::file(&file, message))?;
            out.push(sample);
        }
    }
    if out.is_empty() {
        return Err(Error::file(data, format!("holds no question of task `{}`", protocol.name)));
    }
    Ok(out)
}

/// The file itself, or those of one ending whose names fit.
fn find(protocol: &Protocol, data: &Path, split: Option<&str>) -> Result<Vec<PathBuf>> {
    if std::fs::metadata(data).map_err(Error::io(data))?.is_file() {
        return Ok(vec![data.to_path_buf()]);
    }
    let mut fitting = Vec::new();
    for folder in FOLDERS.map(|folder| data.join(folder)).iter().filter(|folder| folder.is_dir()) {
        for path in listing(folder)?.into_iter().filter(|path| (protocol.file)(&plain(path))) {
            match path.is_dir() {
                // A folder of arrays that is called as the benchmark is: the Base64 repository.
                true => fitting.extend(listing(&path)?),
                false => fitting.push(path),
            }
        }
    }
    for ending in ENDINGS {
        let of = |path: &&PathBuf| {
            path.extension().is_some_and(|e| e == ending)
                && split.is_none_or(|split| named(path).starts_with(split))
        };
        let files: Vec<_> = fitting.iter().filter(of).cloned().collect();
        if !files.is_empty() {
            return Ok(files);
        }
    }
    let message = format!("no parquet, tsv, jsonl or json file here is one of task `{}`", protocol.name);
    Err(Error::file(data, message))
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(Error::io(folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn plain(path: &Path) -> String {
    named(path).to_lowercase().replace('-', "_")
}

fn named(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
