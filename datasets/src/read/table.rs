//! Tables with one line a row: CSV, TSV, and the bare two-column text of CSIQ and PIPAL.

use super::{Cell, Far, RawRow, Rows, Seen};
use crate::part::stretch;
use crate::{Error, Result};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How cells are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// CSV with a header.
    Comma,
    /// TSV with a header; quotes as in CSV.
    Tab,
    /// Commas or white space, no header: columns are called `0`, `1`, ...
    Bare,
}

/// A cell of so many bytes is an image rather than words.
const LONG: usize = 16 << 10;

/// A bare line may hold this many bytes.
const MAX_LINE: u64 = 1 << 20;

/// Rows of `path`. Every cell is a string; an empty cell is null.
pub(super) fn rows(path: &Path, seen: &Seen, style: Style) -> Result<Rows> {
    let file = seen.open(path)?;
    if style == Style::Bare {
        return Ok(bare(BufReader::new(file)));
    }
    let delimiter = if style == Style::Tab { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let header = reader.byte_headers().map_err(|e| Error::file(path, format!("header: {e}")))?.clone();
    let names = header.iter().map(|n| text(n.strip_prefix(b"\xef\xbb\xbf").unwrap_or(n)).map(str::to_owned));
    let names: Vec<String> = names
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::file(path, format!("header: {e}")))?;
    let again = Arc::new(Mutex::new(File::open(path).map_err(Error::io(path))?));
    let (mut record, mut row) = (csv::ByteRecord::new(), 0);
    Ok(Box::new(std::iter::from_fn(move || {
        row += 1;
        match reader.read_byte_record(&mut record) {
            Ok(false) => None,
            Err(e) => Some(RawRow::bad(row - 1, e)),
            Ok(true) => {
                let start = record.position().map_or(0, csv::Position::byte);
                let raw = Raw { file: &again, span: start..reader.position().byte() };
                Some(row_of(row - 1, &names, record.iter(), Some(raw)))
            }
        }
    })))
}

/// Where a row stands.
struct Raw<'a> {
    file: &'a Arc<Mutex<File>>,
    span: Range<u64>,
}

impl Raw<'_> {
    /// A long text that is nothing but base64 can be read again: it stands in the row as it is, whatever the quotes.
    fn far(&self, text: &str) -> Option<Far> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
        if text.len() < LONG || !text.bytes().all(plain) {
            return None;
        }
        let length = usize::try_from(self.span.end.checked_sub(self.span.start)?).ok()?;
        let row = stretch(self.file, self.span.start, length).ok()?;
        let at =
            (0..=row.len().checked_sub(text.len())?).find(|&at| row[at..].starts_with(text.as_bytes()))?;
        Some(Far { text: text.to_owned(), file: self.file.clone(), start: self.span.start + at as u64 })
    }
}

fn row_of<'a>(
    row: u64,
    names: &[String],
    cells: impl Iterator<Item = &'a [u8]>,
    raw: Option<Raw<'_>>,
) -> RawRow {
    let mut fields = Vec::with_capacity(names.len());
    for (name, cell) in names.iter().zip(cells) {
        match text(cell) {
            Ok("") => fields.push((name.clone(), Cell::Json(Value::Null))),
            Ok(text) => {
                let far = raw.as_ref().and_then(|raw| raw.far(text));
                fields.push((name.clone(), far.map_or_else(|| Cell::Json(text.into()), Cell::Far)));
            }
            Err(e) => return RawRow::bad(row, format!("field `{name}`: {e}")),
        }
    }
    RawRow::ok(row, fields)
}

fn text(bytes: &[u8]) -> std::result::Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|e| format!("invalid UTF-8 at byte {}", e.valid_up_to()))
}

fn bare(mut reader: impl BufRead + Send + 'static) -> Rows {
    let mut row = 0;
    Box::new(std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => {
                    row += 1;
                    let cells = line.trim_ascii().split(|b| b", \t".contains(b)).filter(|c| !c.is_empty());
                    let cells: Vec<&[u8]> = cells.collect();
                    let names: Vec<_> = (0..cells.len()).map(|i| i.to_string()).collect();
                    return Some(row_of(row - 1, &names, cells.into_iter(), None));
                }
                Err(e) => {
                    row += 1;
                    return Some(RawRow::bad(row - 1, e));
                }
            }
        }
    }))
}
