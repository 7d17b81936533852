//! JSON: one object a line, or one array of objects. An array is cut into its elements by a scanner that knows strings
//! and nesting only, so a broken element spoils itself and no other.

use super::{Cell, RawRow, Rows, Seen};
use crate::Result;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// One row may hold this many bytes (base64 images included).
const MAX_ROW: u64 = 256 << 20;

/// `.jsonl`: empty lines are no rows.
pub(super) fn lines(path: &Path, seen: &Seen) -> Result<Rows> {
    let mut reader = BufReader::with_capacity(1 << 20, seen.open(path)?);
    let mut row = 0;
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            match reader.by_ref().take(MAX_ROW).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => {
                    row += 1;
                    let cut = line.len() as u64 == MAX_ROW && line.last() != Some(&b'\n');
                    if cut && let Err(e) = skip_line(&mut reader) {
                        return Some(RawRow::bad(row - 1, e));
                    }
                    let too_long = format!("longer than {MAX_ROW} bytes");
                    return Some(if cut { RawRow::bad(row - 1, too_long) } else { parse(row - 1, &line) });
                }
                Err(e) => {
                    row += 1;
                    return Some(RawRow::bad(row - 1, e));
                }
            }
        }
    })))
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let seen = reader.fill_buf()?;
        let (used, done) = match seen.iter().position(|&b| b == b'\n') {
            Some(at) => (at + 1, true),
            None => (seen.len(), seen.is_empty()),
        };
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

/// `.json`: an array of objects, or objects one after another.
pub(super) fn elements(path: &Path, seen: &Seen) -> Result<Rows> {
    let reader = BufReader::with_capacity(1 << 20, seen.open(path)?);
    let mut bytes = reader.bytes();
    let mut row = 0;
    Ok(Box::new(std::iter::from_fn(move || {
        let mut cut = Cut::default();
        for byte in bytes.by_ref() {
            match byte {
                Ok(byte) if cut.takes(byte) => {
                    row += 1;
                    return Some(cut.into_row(row - 1));
                }
                Ok(_) => {}
                Err(e) => return Some(RawRow::bad(row, e)),
            }
        }
        (!cut.text.is_empty()).then(|| {
            row += 1;
            RawRow::bad(row - 1, "the file ends inside this element")
        })
    })))
}

/// One element being cut out.
#[derive(Default)]
struct Cut {
    text: Vec<u8>,
    depth: u32,
    quoted: bool,
    escaped: bool,
    too_long: bool,
}

impl Cut {
    /// Takes the next byte of the file; true when the element is complete.
    fn takes(&mut self, byte: u8) -> bool {
        let outside = self.text.is_empty();
        if outside && (byte.is_ascii_whitespace() || b"[],".contains(&byte)) {
            return false;
        }
        // A scalar where an object should stand ends at the next separator.
        if self.depth == 0 && !outside && !self.quoted && b",]\n".contains(&byte) {
            return true;
        }
        if self.text.len() as u64 >= MAX_ROW {
            self.too_long = true;
        } else {
            self.text.push(byte);
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            b'{' | b'[' if !self.quoted => self.depth += 1,
            b'}' | b']' if !self.quoted => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    fn into_row(self, row: u64) -> RawRow {
        if self.too_long {
            RawRow::bad(row, format!("longer than {MAX_ROW} bytes"))
        } else {
            parse(row, &self.text)
        }
    }
}

fn parse(row: u64, text: &[u8]) -> RawRow {
    if let Err(e) = std::str::from_utf8(text) {
        return RawRow::bad(row, format!("invalid UTF-8 at byte {}", e.valid_up_to()));
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => RawRow::ok(row, map.into_iter().map(|(k, v)| (k, Cell::Json(v))).collect()),
        Ok(other) => RawRow::bad(row, format!("expected an object, found {}", kind(&other))),
        Err(e) => RawRow::bad(row, format!("not JSON: {e}")),
    }
}

/// The name of a JSON value's type.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
