//! From a file and `KEY=VALUE` words to a [`Recipe`], or to an error that says where.

use super::{Recipe, locate};
use crate::{Error, Result};
use figment::error::Kind;
use figment::providers::{Format, Toml, Yaml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::path::Path;

const COMMAND_LINE: &str = "command line";

/// Reads `path`, TOML or (by its name) YAML, with `overrides` of the form `key.sub=value` on top.
///
/// # Errors
/// [`Error::Io`], or [`Error::Recipe`] with file, line and key, or with the override at fault.
pub fn from_file(path: &Path, overrides: &[String]) -> Result<Recipe> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    from_text(&text, &path.display().to_string(), overrides)
}

/// Reads a recipe that is at hand; `place` names it in errors, and a `.yaml` or `.yml` at its end makes
/// it YAML.
///
/// # Errors
/// As [`from_file`].
pub fn from_text(text: &str, place: &str, overrides: &[String]) -> Result<Recipe> {
    let yaml = place.ends_with(".yaml") || place.ends_with(".yml");
    let mut figment = match yaml {
        true => Figment::from(Yaml::string(text)),
        false => Figment::from(Toml::string(text)),
    };
    for word in overrides {
        figment = figment.merge(Override::parse(word)?);
    }
    let recipe: Recipe = figment.extract().map_err(|e| explain(e, text, place, yaml, overrides))?;
    recipe.check().map_err(|(key, message)| {
        let said = overrides.iter().any(|word| word.split('=').next() == Some(key.as_str()));
        let line = if said { None } else { locate::line(text, yaml, &path_of(&key)) };
        let place = if said { COMMAND_LINE.to_string() } else { at(place, line) };
        Error::Recipe { place, message: format!("`{key}` {message}") }
    })?;
    Ok(recipe)
}

/// One `key.sub=value`.
struct Override {
    keys: Vec<String>,
    value: Value,
}

impl Override {
    /// The value is TOML where it reads as TOML (`3`, `true`, `[1, 2]`, `{name = "x"}`), else a string.
    fn parse(word: &str) -> Result<Self> {
        let fault = |message: &str| Error::Recipe {
            place: COMMAND_LINE.into(),
            message: format!("`{word}` {message}"),
        };
        let (key, value) = word.split_once('=').ok_or_else(|| fault("should be KEY=VALUE"))?;
        let keys = path_of(key.trim());
        if keys.iter().any(String::is_empty) {
            return Err(fault("has an empty key"));
        }
        if keys.iter().any(|k| k.parse::<usize>().is_ok()) {
            return Err(fault("names an entry of a list: lists are set as a whole, as in term=[{...}]"));
        }
        let table: Option<Dict> = Toml::from_str(&format!("x = {value}")).ok();
        let value = table.and_then(|mut t| t.remove("x")).unwrap_or_else(|| Value::from(value));
        Ok(Self { keys, value })
    }
}

impl Provider for Override {
    fn metadata(&self) -> Metadata {
        Metadata::named(COMMAND_LINE)
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let wrap = |value: Value, key: &String| Value::from(Dict::from([(key.clone(), value)]));
        let nested = self.keys.iter().skip(1).rev().fold(self.value.clone(), wrap);
        let dict = Dict::from([(self.keys[0].clone(), nested)]);
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// figment's first error, as a sentence with its place.
fn explain(error: figment::Error, text: &str, place: &str, yaml: bool, overrides: &[String]) -> Error {
    let mut keys = error.path.clone();
    let message = match &error.kind {
        Kind::UnknownField(field, known) => {
            // Of a table that may be absent, figment's path holds the key already.
            if keys.len() < 2 || keys.last() != Some(field) {
                keys.push(field.clone());
            }
            format!("unknown key `{}`{}", keys.join("."), suggestion(field, known))
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("`{}` should be {expected}, but is {found}", keys.join("."))
        }
        Kind::Message(message) if keys.is_empty() => message.clone(),
        kind => format!("`{}`: {kind}", keys.join(".")),
    };
    let key = keys.join(".");
    let said = |word: &&String| {
        let name = word.split('=').next().unwrap_or_default();
        key == name || key.starts_with(&format!("{name}."))
    };
    if overrides.iter().any(|word| said(&word)) {
        return Error::Recipe { place: COMMAND_LINE.into(), message };
    }
    Error::Recipe { place: at(place, locate::line(text, yaml, &keys)), message }
}

fn suggestion(field: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (distance(field, k), k)).min();
    match near {
        Some((d, near)) if d <= 1 + near.len() / 3 => format!("; did you mean `{near}`?"),
        _ if known.is_empty() => String::new(),
        _ => format!("; known: {}", known.join(", ")),
    }
}

/// Edit distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let best = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

fn path_of(key: &str) -> Vec<String> {
    key.split('.').map(str::to_string).collect()
}

fn at(place: &str, line: Option<usize>) -> String {
    line.map_or_else(|| place.to_string(), |line| format!("{place}:{line}"))
}
