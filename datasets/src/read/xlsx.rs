//! The first sheet of an Excel workbook, as pandas and openpyxl write it: enough for a table of numbers and text.

use super::{Cell, RawRow, Rows, Seen};
use crate::{Error, Result};
use serde_json::Value;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// A part of the workbook may unpack to this many bytes.
const MAX_PART: u64 = 256 << 20;
/// A sheet may have this many columns (Excel's own limit).
const MAX_COLUMNS: usize = 16_384;

/// Rows below the header row.
pub(super) fn rows(path: &Path, seen: &Seen) -> Result<Rows> {
    let file = File::open(path).map_err(Error::io(path))?;
    seen.add(file.metadata().map_err(Error::io(path))?.len());
    let file = BufReader::new(file);
    let mut zip =
        ZipArchive::new(file).map_err(|e| Error::file(path, format!("not a workbook (zip): {e}")))?;
    let shared = match part(&mut zip, "xl/sharedStrings.xml") {
        Ok(xml) => elements(&xml, "si").map(texts).collect(),
        Err(_) => vec![],
    };
    let sheet = part(&mut zip, "xl/worksheets/sheet1.xml").map_err(|e| Error::file(path, e))?;
    let mut table: Vec<Vec<Value>> = Vec::new();
    for row in elements(&sheet, "row") {
        table.push(cells(row, &shared).map_err(|e| Error::file(path, format!("row {}: {e}", table.len())))?);
    }
    let mut table = table.into_iter();
    let header: Vec<String> = table.next().unwrap_or_default().iter().map(plain).collect();
    Ok(Box::new(table.enumerate().map(move |(row, cells)| {
        let filled = cells.into_iter().chain(std::iter::repeat(Value::Null));
        let named = header.iter().zip(filled).map(|(name, value)| (name.clone(), Cell::Json(value)));
        RawRow::ok(row as u64, named.collect())
    })))
}

fn part(zip: &mut ZipArchive<BufReader<File>>, name: &str) -> std::result::Result<String, String> {
    let index = zip.index_for_name(name).ok_or_else(|| format!("no `{name}` in the workbook"))?;
    let mut out = Vec::new();
    let entry = zip.by_index(index).map_err(|e| e.to_string())?;
    entry.take(MAX_PART + 1).read_to_end(&mut out).map_err(|e| e.to_string())?;
    if out.len() as u64 > MAX_PART {
        return Err(format!("`{name}` unpacks to more than {MAX_PART} bytes"));
    }
    String::from_utf8(out).map_err(|e| format!("`{name}`: {e}"))
}

/// Every `<name ...>...</name>` of `xml`, outer tags included; elements of one name do not nest here.
fn elements<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find('<')?;
            rest = &rest[at..];
            let head_end = rest.find('>')?;
            let ours = rest[1..].strip_prefix(name).is_some_and(|r| r.starts_with([' ', '>', '/']));
            if !ours {
                rest = &rest[1..];
                continue;
            }
            let end = match rest[..head_end].ends_with('/') {
                true => head_end + 1,
                false => rest.find(&format!("</{name}>"))? + name.len() + 3,
            };
            let (element, tail) = rest.split_at(end);
            rest = tail;
            return Some(element);
        }
    })
}

fn inside(element: &str) -> &str {
    let start = element.find('>').map_or(element.len(), |at| at + 1);
    let end = element.rfind("</").unwrap_or(start).max(start);
    &element[start..end]
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let head = &element[..element.find('>')?];
    let start = head.find(&format!(" {name}=\""))? + name.len() + 3;
    head[start..].split('"').next()
}

fn texts(element: &str) -> String {
    elements(element, "t").map(|t| unescape(inside(t))).collect()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

fn cells(row: &str, shared: &[String]) -> std::result::Result<Vec<Value>, String> {
    let mut out = Vec::new();
    for cell in elements(row, "c") {
        let at = attribute(cell, "r").map_or(Some(out.len()), column).filter(|&c| c < MAX_COLUMNS);
        let at =
            at.ok_or_else(|| format!("cell `{}` is out of range", attribute(cell, "r").unwrap_or("")))?;
        out.resize(out.len().max(at + 1), Value::Null);
        out[at] = value(cell, shared)?;
    }
    Ok(out)
}

/// The zero-based column of `AB12`.
fn column(reference: &str) -> Option<usize> {
    let mut letters = reference.bytes().take_while(u8::is_ascii_uppercase);
    letters.try_fold(0usize, |n, b| n.checked_mul(26)?.checked_add(usize::from(b - b'A') + 1))?.checked_sub(1)
}

fn value(cell: &str, shared: &[String]) -> std::result::Result<Value, String> {
    let raw = elements(cell, "v").next().map(|v| unescape(inside(v)));
    match (attribute(cell, "t"), raw) {
        (Some("inlineStr"), _) => Ok(texts(cell).into()),
        (_, None) => Ok(Value::Null),
        (Some("s"), Some(index)) => {
            let text = index.parse::<usize>().ok().and_then(|i| shared.get(i));
            text.map(|t| t.as_str().into())
                .ok_or_else(|| format!("shared string {index} of {}", shared.len()))
        }
        (Some("str" | "e"), Some(text)) => Ok(text.into()),
        (Some("b"), Some(bit)) => Ok((bit == "1").into()),
        (_, Some(number)) => Ok(number.parse::<f64>().map_or(Value::String(number), Value::from)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
