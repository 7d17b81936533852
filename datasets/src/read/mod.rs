//! Files to rows. Knows containers (parquet, JSON, tables, tar), not what a column means.
//!
//! Rows are pulled one at a time, so memory does not grow with a file. A row that cannot be read comes out as a row
//! with a reason, never as a gap; [`RawRow::count`] says how many rows one broken piece stood for.

use crate::{Encoded, Error, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

mod folder;
mod json;
mod parquet;
mod seen;
mod source;
mod table;
mod tar;
mod xlsx;

pub(crate) use folder::columns as columns_of;
pub(crate) use json::kind;
pub(crate) use parquet::mapped_rows;
pub use seen::Seen;
pub use source::{ENDINGS, NOTES, Source, find};

/// One value of a row.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Anything JSON can say, without bytes inside.
    Json(Value),
    /// Binary data, such as an encoded image.
    Bytes(Encoded),
    /// A list with bytes somewhere inside.
    List(Vec<Cell>),
    /// A struct with bytes somewhere inside.
    Struct(Vec<(String, Cell)>),
}

impl Cell {
    /// The JSON of a cell without bytes; bytes become null.
    pub fn into_json(self) -> Value {
        match self {
            Self::Json(value) => value,
            Self::Bytes(_) => Value::Null,
            Self::List(cells) => cells.into_iter().map(Self::into_json).collect(),
            Self::Struct(fields) => {
                Value::Object(fields.into_iter().map(|(k, v)| (k, v.into_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// Whether there is nothing in it.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Json(Value::Null))
    }
}

/// The columns of one row, in file order.
pub type Fields = Vec<(String, Cell)>;

/// One row, or why there is none.
#[derive(Debug)]
pub struct RawRow {
    /// Zero-based position in its file.
    pub row: u64,
    /// Rows that this stands for: 1, or more where a broken piece held several.
    pub count: u64,
    /// The columns, or what is wrong.
    pub fields: std::result::Result<Fields, String>,
}

impl RawRow {
    fn ok(row: u64, fields: Fields) -> Self {
        Self { row, count: 1, fields: Ok(fields) }
    }

    fn bad(row: u64, reason: impl std::fmt::Display) -> Self {
        Self { row, count: 1, fields: Err(reason.to_string()) }
    }
}

/// The rows of one file.
pub type Rows = Box<dyn Iterator<Item = RawRow> + Send>;

/// How a file ending is read.
struct Container {
    endings: &'static [&'static str],
    open: fn(&Path, &Seen) -> Result<Rows>,
}

/// Every container, by the ending of a file's name.
const CONTAINERS: &[Container] = &[
    Container { endings: &["parquet"], open: parquet::rows },
    Container { endings: &["jsonl", "ndjson"], open: json::lines },
    Container { endings: &["json"], open: json::elements },
    Container { endings: &["csv"], open: |p, seen| table::rows(p, seen, table::Style::Comma) },
    Container { endings: &["tsv"], open: |p, seen| table::rows(p, seen, table::Style::Tab) },
    Container { endings: &["txt"], open: |p, seen| table::rows(p, seen, table::Style::Bare) },
    Container { endings: &["xlsx"], open: xlsx::rows },
    Container { endings: &["tar"], open: tar::rows },
];

fn container(path: &Path) -> Option<&'static Container> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    CONTAINERS.iter().find(|c| c.endings.contains(&ending.as_str()))
}

/// Opens `path` by its ending, or as a folder of one row; what is read of it is added to `seen`.
///
/// # Errors
/// No container has that ending, or the file's frame (a footer, a header) is broken.
pub fn rows(path: &Path, seen: &Seen) -> Result<Rows> {
    if path.is_dir() {
        return folder::rows(path, seen);
    }
    let known = || CONTAINERS.iter().flat_map(|c| c.endings).copied().collect::<Vec<_>>().join(", ");
    let found = container(path);
    let found =
        found.ok_or_else(|| Error::file(path, format!("cannot be read as rows; known are {}", known())))?;
    (found.open)(path, seen)
}

/// The rows of several files, one after another, each with the number of its file. A file whose frame is broken is one
/// bad row.
pub fn all_rows(files: Vec<PathBuf>, seen: Seen) -> impl Iterator<Item = (usize, RawRow)> + Send {
    files.into_iter().enumerate().flat_map(move |(i, path)| {
        let rows = rows(&path, &seen).unwrap_or_else(|e| Box::new(std::iter::once(RawRow::bad(0, e))));
        rows.map(move |row| (i, row))
    })
}
