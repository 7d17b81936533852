//! Typed access to the fields of a JSON file, with errors that name file, field and both values.
//!
//! Decides what counts as absent (a missing key or `null`) and how large a file or a size may be.
//! Knows nothing of models.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// A JSON file above this is not a config: the index of the largest published model takes 200 kB.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// No size of a model comes near it, and products of two stay within 64 bits.
const MAX_SIZE: u64 = 1 << 31;

/// Parses the JSON file at `path`.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut text = Vec::new();
    file.take(MAX_JSON_BYTES + 1).read_to_end(&mut text).map_err(Error::io(path))?;
    if text.len() as u64 > MAX_JSON_BYTES {
        let limit = format!("at most {MAX_JSON_BYTES} bytes");
        return Err(Error::input(path.display(), "file size", limit, "more"));
    }
    serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.into(), source })
}

/// One object of a file: `path` is its own key with a dot behind, empty for the root.
pub(crate) struct Fields<'a> {
    place: &'a str,
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn root(place: &'a str, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { place, path: String::new(), map }),
            other => Err(Error::input(place, "the file", "an object", kind(other))),
        }
    }

    /// The field, unless it is missing or `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// There, but `null`.
    pub(crate) fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.map.keys().map(String::as_str)
    }

    /// An error about the field `name`.
    pub(crate) fn wrong(&self, name: &str, expected: impl ToString, found: impl ToString) -> Error {
        Error::input(self.place, format!("{}{name}", self.path), expected, found)
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => {
                let path = format!("{}{name}.", self.path);
                Ok(Some(Self { place: self.place, path, map }))
            }
            Some(other) => Err(self.wrong(name, "an object", kind(other))),
        }
    }

    /// A size: an integer of at least one.
    pub(crate) fn size(&self, name: &str, default: usize) -> Result<usize> {
        match self.index(name, default)? {
            0 => Err(self.wrong(name, "at least 1", 0)),
            size => Ok(size),
        }
    }

    /// An integer of at least zero.
    pub(crate) fn index(&self, name: &str, default: usize) -> Result<usize> {
        self.get(name).map_or(Ok(default), |value| self.as_index(name, value))
    }

    /// A token id.
    pub(crate) fn token(&self, name: &str, default: u32) -> Result<u32> {
        self.get(name).map_or(Ok(default), |value| self.as_token(name, value))
    }

    pub(crate) fn as_token(&self, name: &str, value: &Value) -> Result<u32> {
        let id = self.as_index(name, value)?;
        u32::try_from(id).map_err(|_| self.wrong(name, "a token id", id))
    }

    /// Several integers of at least zero.
    pub(crate) fn indexes(&self, name: &str, default: &[usize]) -> Result<Vec<usize>> {
        match self.get(name) {
            None => Ok(default.to_vec()),
            Some(Value::Array(all)) => all.iter().map(|v| self.as_index(name, v)).collect(),
            Some(other) => Err(self.wrong(name, "a list of integers", kind(other))),
        }
    }

    pub(crate) fn number(&self, name: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.as_f64().ok_or_else(|| self.wrong(name, "a number", kind(value)))
    }

    /// A number above zero.
    pub(crate) fn positive(&self, name: &str, default: f64) -> Result<f64> {
        let number = self.number(name, default)?;
        if number > 0.0 { Ok(number) } else { Err(self.wrong(name, "above 0", number)) }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.wrong(name, "true or false", kind(value))),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.wrong(name, "a string", kind(value))),
        }
    }

    /// That the field, where it is there, says what this crate does anyway.
    pub(crate) fn must_be(&self, name: &str, only: &Value) -> Result<()> {
        match self.get(name) {
            Some(found) if !same(found, only) => Err(self.wrong(name, only, kind(found))),
            _ => Ok(()),
        }
    }

    fn as_index(&self, name: &str, value: &Value) -> Result<usize> {
        let number =
            value.as_u64().ok_or_else(|| self.wrong(name, "an integer of at least 0", kind(value)))?;
        usize::try_from(number)
            .ok()
            .filter(|_| number <= MAX_SIZE)
            .ok_or_else(|| self.wrong(name, format!("at most {MAX_SIZE}"), number))
    }
}

/// Equal, where `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The value itself where it is short, else what it is.
fn kind(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".into(),
        Value::Array(all) if all.len() > 8 => format!("a list of {}", all.len()),
        other => other.to_string().chars().take(80).collect(),
    }
}
