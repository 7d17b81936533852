//! The line of a key in a recipe, for errors. figment knows paths, not places.

use toml::de::{DeTable, DeValue};

/// The line, from 1, of the key at `path`; of the nearest table above it where the key is not there.
pub(super) fn line(text: &str, yaml: bool, path: &[String]) -> Option<usize> {
    if yaml { yaml_line(text, path) } else { toml_line(text, path) }
}

fn toml_line(text: &str, path: &[String]) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = Some(root.get_ref());
    let mut list: Option<&toml::de::DeArray<'_>> = None;
    let mut offset = None;
    for key in path {
        let value = if let Some(entries) = list.take() {
            entries.get(key.parse::<usize>().ok()?)
        } else {
            let found = table.and_then(|t| t.iter().find(|(name, _)| name.get_ref().as_ref() == key));
            found.map(|(name, value)| {
                offset = Some(name.span().start);
                value
            })
        };
        let Some(value) = value else { break };
        if offset.is_none() {
            offset = Some(value.span().start);
        }
        (table, list) = match value.get_ref() {
            DeValue::Table(t) => (Some(t), None),
            DeValue::Array(a) => (None, Some(a)),
            _ => (None, None),
        };
    }
    offset.map(|at| 1 + text[..at].matches('\n').count())
}

/// Follows the keys downwards by their names, the first after the last: right for the block style in
/// which recipes are written.
fn yaml_line(text: &str, path: &[String]) -> Option<usize> {
    let lines: Vec<&str> = text.lines().map(|l| l.trim_start_matches([' ', '-'])).collect();
    let mut found = None;
    for key in path.iter().filter(|k| k.parse::<usize>().is_err()) {
        let from = found.unwrap_or(0);
        let next = lines[from..].iter().position(|l| l.starts_with(&format!("{key}:")));
        match next {
            Some(n) => found = Some(from + n + 1),
            None => break,
        }
    }
    found
}
