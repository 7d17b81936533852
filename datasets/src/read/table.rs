//! Tables with one line a row: CSV, TSV, and the bare two-column text of CSIQ and PIPAL.

use super::{Cell, RawRow, Rows, Seen};
use crate::{Error, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

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
    Ok(Box::new(reader.into_byte_records().enumerate().map(move |(row, record)| match record {
        Ok(record) => row_of(row as u64, &names, record.iter()),
        Err(e) => RawRow::bad(row as u64, e),
    })))
}

fn row_of<'a>(row: u64, names: &[String], cells: impl Iterator<Item = &'a [u8]>) -> RawRow {
    let mut fields = Vec::with_capacity(names.len());
    for (name, cell) in names.iter().zip(cells) {
        match text(cell) {
            Ok("") => fields.push((name.clone(), Cell::Json(Value::Null))),
            Ok(text) => fields.push((name.clone(), Cell::Json(text.into()))),
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
                    return Some(row_of(row - 1, &names, cells.into_iter()));
                }
                Err(e) => {
                    row += 1;
                    return Some(RawRow::bad(row - 1, e));
                }
            }
        }
    }))
}
