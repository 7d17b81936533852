//! A source of samples with their places: any file or folder in any format.

use super::Reject;
use super::reject::Kind;
use crate::formats::{self, Fault, Format, ImageStore};
use crate::read::{self, RawRow, Seen, Source};
use crate::tasks::EASY_VQA;
use crate::{Error, OpenOptions, Result, Sample, Split};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What to read and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSpec {
    /// A file, a folder, or either with `@split`.
    pub source: String,
    /// A name of [`formats::FORMATS`], `easy-vqa`, or `auto`.
    pub format: String,
    /// `(ours, theirs)`: columns under other names.
    pub rename: Vec<(String, String)>,
    /// Where image paths start; the source's own folder when absent.
    pub images: Option<PathBuf>,
}

/// A row with its place.
#[derive(Debug)]
pub struct Record {
    /// The file it came from.
    pub file: String,
    /// Zero-based row in that file.
    pub row: u64,
    /// Rows this stands for.
    pub count: u64,
    /// The sample, or what is wrong with the row.
    pub sample: std::result::Result<Sample, String>,
}

impl Record {
    /// This record as a reject.
    pub(super) fn reject(&self, kind: Kind, reason: impl Into<String>) -> Reject {
        let id = self.sample.as_ref().ok().map(|s| s.id.clone());
        Reject { file: self.file.clone(), row: self.row, rows: self.count, id, kind, reason: reason.into() }
    }
}

/// The records of a source, and what was found about it.
pub struct Records {
    /// The format, as given or as found.
    pub format: &'static str,
    /// The files read, with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    seen: Seen,
    iter: Box<dyn Iterator<Item = Record> + Send>,
}

impl Records {
    /// How much of the files has been read, 0 to 1.
    pub fn share(&self) -> f64 {
        let all: u64 = self.files.iter().map(|(_, bytes)| bytes).sum();
        (self.seen.bytes() as f64 / all.max(1) as f64).min(1.)
    }
}

impl Iterator for Records {
    type Item = Record;
    fn next(&mut self) -> Option<Record> {
        self.iter.next()
    }
}

/// Opens a source. Images in a gzipped tar are unpacked among the system's temporary files.
///
/// # Errors
/// Nothing is there, the format is unknown or cannot be told, or a folder of images cannot be read.
pub fn open(spec: &SourceSpec) -> Result<Records> {
    open_in(spec, &std::env::temp_dir())
}

/// As [`open`]; a gzipped tar of images is unpacked into a nameless file in `spool`.
pub(super) fn open_in(spec: &SourceSpec, spool: &Path) -> Result<Records> {
    let source = Source::parse(&spec.source);
    let wheel = source.path.extension().is_some_and(|e| e == "whl");
    if spec.format == EASY_VQA.name || (is_auto(&spec.format) && wheel) {
        return easy_vqa(&source.path);
    }
    let files = read::find(&source)?;
    let store = ImageStore::open(formats::roots_for(&source, spec.images.as_deref()), spool)?;
    let format = choose(spec, &files)?;
    let names: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
    let sizes = sizes(&files)?;
    let rename = spec.rename.clone();
    let prefixes: Vec<String> = match files.len() {
        1 => vec![String::new()],
        _ => files
            .iter()
            .map(|f| format!("{}-", f.file_stem().unwrap_or_default().to_string_lossy()))
            .collect(),
    };
    let seen = Seen::default();
    let iter = read::all_rows(files, seen.clone()).map(move |(file, raw)| {
        let RawRow { row, count, fields } = raw;
        let number = format!("{}{row}", prefixes[file]);
        let read = |fields| format.sample(fields, &rename, &store, &number).map_err(|e: Fault| e.to_string());
        Record { file: names[file].clone(), row, count, sample: fields.and_then(read) }
    });
    Ok(Records { format: format.name, files: sizes, seen, iter: Box::new(iter) })
}

fn is_auto(format: &str) -> bool {
    format.is_empty() || format == "auto"
}

fn sizes(files: &[PathBuf]) -> Result<Vec<(String, u64)>> {
    let size = |f: &PathBuf| {
        let length = match f.is_dir() {
            // A folder without its file is a broken row, not a broken source.
            true => read::columns_of(f).metadata().map_or(0, |file| file.len()),
            false => std::fs::metadata(f).map_err(Error::io(f))?.len(),
        };
        Ok((f.file_name().unwrap_or_default().to_string_lossy().into_owned(), length))
    };
    files.iter().map(size).collect()
}

/// The format given, or the one that the first readable row shows.
fn choose(spec: &SourceSpec, files: &[PathBuf]) -> Result<&'static Format> {
    if !is_auto(&spec.format) {
        return formats::named(&spec.format).ok_or_else(|| {
            let known: Vec<_> = formats::FORMATS.iter().map(|f| f.name).collect();
            Error::Invalid(format!(
                "no format is called `{}`; there are auto, easy-vqa, {}",
                spec.format,
                known.join(", ")
            ))
        });
    }
    let readable = |file: &PathBuf| {
        Ok::<_, Error>(read::rows(file, &Seen::default())?.take(100).find_map(|raw| raw.fields.ok()))
    };
    let mut found = None;
    for file in files {
        found = readable(file)?;
        if found.is_some() {
            break;
        }
    }
    let fields = found.ok_or_else(|| Error::file(&spec.source, "none of its first rows can be read"))?;
    let theirs =
        |name: &str| spec.rename.iter().find(|(_, theirs)| theirs == name).map(|(ours, _)| ours.clone());
    let columns: Vec<String> = fields.iter().map(|(n, _)| theirs(n).unwrap_or_else(|| n.clone())).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    formats::detect(&columns).ok_or_else(|| {
        let message = format!(
            "columns {} fit no format; name one, or map columns to problem, answer, images",
            columns.join(", ")
        );
        Error::file(&spec.source, message)
    })
}

fn easy_vqa(path: &Path) -> Result<Records> {
    let task = (EASY_VQA.open)(&OpenOptions { data: Some(path.to_path_buf()), ..OpenOptions::default() })?;
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    let places: Vec<_> =
        Split::ALL.iter().flat_map(|&split| (0..task.len(split)).map(move |i| (split, i))).collect();
    let file = path.display().to_string();
    let files = vec![(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), length)];
    let counter = Seen::default();
    let each = length / places.len().max(1) as u64;
    let seen = counter.clone();
    let iter = places.into_iter().map(move |(split, i)| {
        counter.add(each);
        let sample = task.sample(split, i).map_err(|e| e.to_string()).map(|mut sample| {
            sample.meta.insert("split".into(), split.name().into());
            sample
        });
        Record { file: format!("{file}:{}", split.name()), row: i as u64, count: 1, sample }
    });
    Ok(Records { format: EASY_VQA.name, files, seen, iter: Box::new(iter) })
}
