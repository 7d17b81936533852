//! Which files of a directory hold the weights.
//!
//! Decides by transformers' rule: `model.safetensors` first, else what the index names; a shard is a plain
//! file name, so that an index cannot point outside its directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::header::Entry;
use crate::config::fields::{Fields, read_json};
use crate::{Error, Result};

/// The one file of a small model.
pub(super) const SINGLE: &str = "model.safetensors";
/// The table of contents of a model in shards.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// A file with the tensors that the index puts there.
pub(super) type File = (PathBuf, Option<BTreeSet<String>>);

pub(super) fn plan(dir: &Path) -> Result<Vec<File>> {
    let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
    if exists(&single)? {
        return Ok(vec![(single, None)]);
    }
    if !exists(&index)? {
        let expected = format!("{SINGLE} or {INDEX}");
        return Err(Error::input(dir.display(), "weights", expected, "neither"));
    }
    let mut shards = BTreeMap::<String, BTreeSet<String>>::new();
    for (tensor, shard) in weight_map(&index)? {
        shards.entry(shard).or_default().insert(tensor);
    }
    let mut plan = vec![];
    for (shard, tensors) in shards {
        let path = dir.join(&shard);
        if !exists(&path)? {
            let found = format!("missing; it should hold {} tensors", tensors.len());
            return Err(Error::input(index.display(), shard, "a file beside the index", found));
        }
        plan.push((path, Some(tensors)));
    }
    Ok(plan)
}

/// Tensor and shard, pair by pair.
fn weight_map(index: &Path) -> Result<Vec<(String, String)>> {
    let value = read_json(index)?;
    let place = index.display().to_string();
    let root = Fields::root(&place, &value)?;
    let map = root
        .object("weight_map")?
        .filter(|map| !map.is_empty())
        .ok_or_else(|| root.wrong("weight_map", "an object with tensors", "missing or empty"))?;
    let mut pairs = vec![];
    for tensor in map.names() {
        let shard = map.text(tensor)?.unwrap_or_default();
        if !is_plain(shard) {
            let expected = "the plain name of a .safetensors file in the same directory";
            return Err(map.wrong(tensor, expected, format!("`{shard}`")));
        }
        pairs.push((tensor.to_owned(), shard.to_owned()));
    }
    Ok(pairs)
}

fn is_plain(shard: &str) -> bool {
    shard.ends_with(".safetensors") && !shard.contains(['/', '\\', ':', '\0'])
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(Error::io(path))
}

/// That a shard holds what the index promised, no less and no more.
pub(super) fn check(place: &str, promised: &BTreeSet<String>, entries: &[Entry]) -> Result<()> {
    let there: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    if let Some(missing) = promised.iter().find(|name| !there.contains(name.as_str())) {
        return Err(Error::input(place, missing, "in this shard, as the index says", "missing"));
    }
    if let Some(more) = there.iter().find(|name| !promised.contains(**name)) {
        return Err(Error::input(place, more, "named for this shard by the index", "not named"));
    }
    Ok(())
}
