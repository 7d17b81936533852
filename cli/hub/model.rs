//! Which files of a repository are a model, and which an adapter.

use std::collections::BTreeSet;
use std::path::Path;

use foveate_hub::{Name, Snapshot};
use foveate_vision::processor::KEPT;
use serde::Deserialize;
use serde_json::Value;

use super::bar::Bar;
use super::{Place, Stop, of_word, open};
use crate::failure::{Failure, Outcome};

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Its sizes.
    Config,
    /// What stands before it: tokenizer, template, pictures.
    Processor,
    /// All of it.
    Weights,
}

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Files besides the weights; those of a need include those of the ones before. A repository need not have
/// all of them.
const FILES: [(Need, &[&str]); 4] = [
    (Need::Config, &["config.json", "preprocessor_config.json", "processor_config.json"]),
    (Need::Processor, &["tokenizer.json", "generation_config.json"]),
    (Need::Processor, &KEPT),
    (Need::Weights, &[WEIGHTS, INDEX]),
];

/// Those without which there is no model, and the need that they belong to.
const NEEDED: [(Need, &str); 2] = [(Need::Config, "config.json"), (Need::Processor, "tokenizer.json")];

/// The files of an adapter.
const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// Of the index, the part that says where tensors lie.
#[derive(Deserialize)]
struct Index {
    weight_map: serde_json::Map<String, Value>,
}

/// The directory of a model: a path as it is, or what `need` asks for of a name on the hub.
pub fn model(word: &Path, need: Need, stop: Stop) -> Outcome<Place> {
    repository(word, stop, |snapshot, fetch| {
        let mut files = wanted(snapshot, need);
        if files.contains(&WEIGHTS) {
            files.retain(|file| *file != INDEX);
        }
        fetch(&files)?;
        if files.contains(&INDEX) {
            let shards = shards(&snapshot.dir().join(INDEX))?;
            fetch(&shards.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    })
}

/// The directory of an adapter: a path as it is, or the files of a name on the hub.
pub fn adapter(word: &Path, stop: Stop) -> Outcome<Place> {
    repository(word, stop, |_, fetch| fetch(&ADAPTER))
}

/// Fetches some files.
type Fetch<'a> = &'a dyn Fn(&[&str]) -> Outcome<()>;

/// A path as it is, or the directory of a repository of which `choose` has fetched files.
fn repository(
    word: &Path,
    stop: Stop,
    choose: impl FnOnce(&Snapshot, Fetch) -> Outcome<()>,
) -> Outcome<Place> {
    let text = word.to_string_lossy();
    let Some(name) = Name::model(&text)? else { return Ok(Place::path(word)) };
    let fault = of_word(&text);
    let (hub, bar) = (open()?, Bar::new(&name.id, stop));
    let snapshot = hub.open(&name, &bar).map_err(&fault)?;
    choose(&snapshot, &|files| snapshot.fetch(files, &bar).map_err(&fault))?;
    let title = name.id.rsplit('/').next().map(str::to_owned);
    Ok(Place { path: snapshot.dir(), pinned: Some(snapshot.pinned().word()), title })
}

/// What there is of the files of `need`, and what there must be.
fn wanted(snapshot: &Snapshot, need: Need) -> Vec<&'static str> {
    let all = FILES.iter().filter(|(of, _)| *of <= need).flat_map(|(_, files)| *files);
    let there = all.copied().filter(|file| snapshot.has(file));
    let needed = NEEDED.iter().filter(|(of, _)| *of <= need).map(|(_, file)| *file);
    // Weights in another form are no weights: asked for by name, their absence says so.
    let weights = (need == Need::Weights && !snapshot.has(INDEX)).then_some(WEIGHTS);
    let mut files = Vec::new();
    for file in there.chain(needed).chain(weights) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// The files that an index names. Whether it is sound is found out when the weights are read.
fn shards(path: &Path) -> Outcome<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).map_err(Failure::io(path))?;
    let index: Index =
        serde_json::from_str(&text).map_err(|error| Failure::input(error).at(path.display()))?;
    Ok(index.weight_map.values().filter_map(|shard| shard.as_str().map(str::to_owned)).collect())
}
