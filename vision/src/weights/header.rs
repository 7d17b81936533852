//! The header of a safetensors file.
//!
//! Decides whether its claims hold: lengths within the file, tensors side by side without gap or overlap,
//! names once. Does not read values.

use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// As in the reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Element types of the format with whole bytes, and their sizes.
const DTYPES: [(&str, usize); 15] = [
    ("F32", 4),
    ("F16", 2),
    ("BF16", 2),
    ("F64", 8),
    ("I64", 8),
    ("U64", 8),
    ("I32", 4),
    ("U32", 4),
    ("I16", 2),
    ("U16", 2),
    ("I8", 1),
    ("U8", 1),
    ("BOOL", 1),
    ("F8_E4M3", 1),
    ("F8_E5M2", 1),
];

/// One tensor of a file.
pub(super) struct Entry {
    pub(super) name: String,
    /// One of [`DTYPES`].
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    /// Where in the file.
    pub(super) bytes: Range<usize>,
}

#[derive(Deserialize)]
struct Claim {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// A JSON object as pairs, so that a name that is there twice is seen.
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Pairs, A::Error> {
                let mut pairs = vec![];
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The tensors of a file, in order of their bytes; `place` is the file's name for errors.
pub(super) fn read(place: &str, file: &[u8]) -> Result<Vec<Entry>> {
    let (header, data_start) = split(place, file)?;
    let Pairs(pairs) = serde_json::from_slice(header)
        .map_err(|source| Error::Json { path: format!("{place} (header)").into(), source })?;
    let mut entries = vec![];
    for (name, value) in pairs {
        if name != "__metadata__" {
            entries.push(entry(place, name, value, data_start, file.len())?);
        }
    }
    entries.sort_by_key(|entry| (entry.bytes.start, entry.bytes.end));
    side_by_side(place, &entries, data_start, file.len())?;
    once(place, &entries)?;
    Ok(entries)
}

/// The header's JSON, and where the data begins.
fn split<'a>(place: &str, file: &'a [u8]) -> Result<(&'a [u8], usize)> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        let found = format!("{} bytes", file.len());
        return Err(Error::input(place, "file size", "at least 8 bytes", found));
    };
    let length = u64::from_le_bytes(*length);
    let limit = MAX_HEADER_BYTES.min(rest.len() as u64);
    if length > limit {
        let expected = format!("at most {limit} bytes, as the file has {}", file.len());
        return Err(Error::input(place, "header length", expected, length));
    }
    let length = length as usize;
    Ok((&rest[..length], 8 + length))
}

fn entry(
    place: &str,
    name: String,
    value: serde_json::Value,
    data_start: usize,
    file_len: usize,
) -> Result<Entry> {
    let wrong = |expected: String, found: String| Error::input(place, &name, expected, found);
    let claim: Claim = serde_json::from_value(value)
        .map_err(|e| wrong("dtype, shape and data_offsets".into(), e.to_string()))?;
    let Some((_, size)) = DTYPES.iter().find(|(dtype, _)| *dtype == claim.dtype) else {
        return Err(wrong("of a known dtype".into(), claim.dtype));
    };
    let [start, end] = claim.data_offsets;
    let room = file_len - data_start;
    if start > end || end > room {
        let expected = format!("within the {room} bytes of data (the file may be truncated)");
        return Err(wrong(expected, format!("at {start}..{end}")));
    }
    let wanted = claim.shape.iter().try_fold(*size, |product, side| product.checked_mul(*side));
    if wanted != Some(end - start) {
        let wanted = wanted.map_or("too many".into(), |bytes| bytes.to_string());
        let expected = format!("{wanted} bytes long ({} {:?})", claim.dtype, claim.shape);
        return Err(wrong(expected, (end - start).to_string()));
    }
    let bytes = data_start + start..data_start + end;
    Ok(Entry { name, dtype: claim.dtype, shape: claim.shape, bytes })
}

/// The format allows neither gaps nor overlaps nor bytes behind the last tensor.
fn side_by_side(place: &str, entries: &[Entry], data_start: usize, file_len: usize) -> Result<()> {
    let mut end = data_start;
    for entry in entries {
        if entry.bytes.start != end {
            let what = if entry.bytes.start < end { "overlap" } else { "gap" };
            let expected = format!("at byte {end} of the file, where the tensor before it ends");
            let found = format!("at {} ({what})", entry.bytes.start);
            return Err(Error::input(place, &entry.name, expected, found));
        }
        end = entry.bytes.end;
    }
    if end != file_len {
        let expected = format!("{end} bytes, where the last tensor ends");
        return Err(Error::input(place, "file size", expected, file_len));
    }
    Ok(())
}

fn once(place: &str, entries: &[Entry]) -> Result<()> {
    let mut names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::input(place, pair[0], "there once", "there twice")),
        None => Ok(()),
    }
}
