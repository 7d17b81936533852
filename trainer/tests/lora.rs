//! Runs that train an adapter: resumable to the byte, small on disk, with every method.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_trainer::observer::Silent;
use foveate_trainer::policy::LocalPolicy;
use foveate_trainer::recipe::{Recipe, from_file, from_text};
use foveate_trainer::{Error, Trainer};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use serde_json::Value;
use std::path::{Path, PathBuf};

#[path = "support/runs.rs"]
mod runs;

use runs::{StopAfter, bytes, checkpoint, go, model, words};

const RECIPE: &str = r#"
seed = 11

[model]
lora = { rank = 3, alpha = 6.0, dropout = 0.2, target_modules = "all-linear" }

[data]
task = "shapes"
size = 56

[rollout]
prompts = 4
group = 3
max_tokens = 4

[[term]]
name = "reference-kl"
weight = 0.1

[[term]]
name = "entropy"
weight = -0.01

[[reward]]
name = "exact"

[[reward]]
name = "format"
weight = 0.5

[optim]
lr = 1e-2
updates = 2
token_budget = 400

[warmup]
steps = 2
images = 2
questions = 3

[train]
steps = 3
checkpoint_every = 1
keep = 10
"#;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const STATE: &str = "trainer/optimizer.safetensors";

fn recipe(dir: &Path, out: &str, more: &[&str]) -> Recipe {
    from_text(RECIPE, "lora.toml", &words(dir, out, more)).unwrap_or_else(|e| panic!("{e}"))
}

fn run(dir: &Path, out: &str, more: &[&str]) -> PathBuf {
    let mut trainer = Trainer::start(recipe(dir, out, more)).unwrap_or_else(|e| panic!("{e}"));
    trainer.run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    dir.join(out)
}

fn lines(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let dir = tempfile::tempdir().unwrap();
    let before = std::fs::read(model(dir.path()).join("model.safetensors")).unwrap();
    let whole = run(dir.path(), "whole", &[]);
    let again = run(dir.path(), "again", &[]);
    for file in [CONFIG, WEIGHTS, STATE] {
        assert!(bytes(&whole, 5, file) == bytes(&again, 5, file), "{file} differs between two runs");
    }
    // In the warm-up, between the stages, in the training.
    for at in [1, 2, 4] {
        let (name, stop) = (format!("stopped-{at}"), go());
        let mut trainer = Trainer::start(recipe(dir.path(), &name, &["train.checkpoint_every=0"])).unwrap();
        assert!(trainer.run(&stop, &mut StopAfter(at, &stop)).unwrap().interrupted);
        drop(trainer);
        let stopped = dir.path().join(name);
        let mut trainer = Trainer::resume(&stopped, &[]).unwrap();
        assert_eq!(trainer.run(&go(), &mut Silent).unwrap().step, 5);
        for file in [CONFIG, WEIGHTS, STATE, "trainer/progress.json"] {
            assert!(bytes(&whole, 5, file) == bytes(&stopped, 5, file), "stopped after {at}: {file}");
        }
    }
    // A checkpoint holds the adapter, not the model, and the model is as it was.
    let mut names: Vec<_> =
        std::fs::read_dir(checkpoint(&whole, 5)).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [CONFIG, WEIGHTS, "trainer"]);
    assert!(std::fs::read(model(dir.path()).join("model.safetensors")).unwrap() == before);
    assert!(bytes(&whole, 2, WEIGHTS) != bytes(&whole, 5, WEIGHTS), "training changed nothing");
    // It says which model it belongs to, and loads on it.
    let config: Value = serde_json::from_slice(&bytes(&whole, 5, CONFIG)).unwrap();
    let base = Path::new(config["base_model_name_or_path"].as_str().unwrap());
    let mut policy = LocalPolicy::load(base).unwrap();
    policy.model.load_adapter(&checkpoint(&whole, 5)).unwrap();
}

#[test]
fn the_reference_is_the_model_as_it_was_when_training_began() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["optim.updates=1", "model.lora.dropout=0.0"];
    let kl = |lines: &[Value]| -> Vec<f64> {
        lines.iter().filter_map(|line| line["kl/reference"].as_f64()).collect()
    };
    // Without a warm-up it is the model without an adapter, with one it has the adapter of the warm-up.
    for (name, warmup) in [("fresh", "warmup.steps=0"), ("warm", "warmup.steps=2")] {
        let lines = lines(&run(dir.path(), name, &[&more[..], &[warmup]].concat()));
        let kl = kl(&lines);
        assert_eq!(kl.len(), 3, "{name}");
        assert!(kl[0].abs() < 1e-9, "{name}: {kl:?}");
        assert!(kl[1] > 1e-9 && kl[2] > 1e-9, "{name}: {kl:?}");
    }
    // An adapter that is trained further begins as it is.
    let from = checkpoint(&dir.path().join("warm"), 5);
    let recipe = r#"model.adapter="#.to_owned() + &format!("{:?}", from.to_str().unwrap());
    let text = RECIPE.replace("lora = {", "#");
    let words = words(dir.path(), "further", &["optim.updates=1", "warmup.steps=0", &recipe]);
    let recipe = from_text(&text, "further.toml", &words).unwrap_or_else(|e| panic!("{e}"));
    Trainer::start(recipe).unwrap().run(&go(), &mut Silent).unwrap();
    let further = dir.path().join("further");
    let kl = kl(&lines(&further));
    assert!(kl[0].abs() < 1e-9 && kl[1] > 1e-9, "{kl:?}");
    let reference = std::fs::read(further.join("reference").join(WEIGHTS)).unwrap();
    assert!(reference == std::fs::read(from.join(WEIGHTS)).unwrap());
}

#[test]
fn every_method_trains_an_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes");
    let small = [
        "rollout.prompts=3",
        "rollout.group=3",
        "optim.updates=1",
        "warmup.steps=1",
        "warmup.images=2",
        "warmup.questions=2",
        "train.steps=1",
        "train.checkpoint_every=0",
        "eval=[]",
        "model.lora={rank=2, dropout=0.1}",
    ];
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let read = from_file(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
        if read.data.path.is_some() || read.model.path != Path::new("tiny") || read.model.adapts() {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut words = words(dir.path(), &name, &small);
        words.push(format!("data.size={}", if read.data.task == "search" { 224 } else { 56 }));
        let recipe = from_file(&path, &words).unwrap_or_else(|e| panic!("{e}"));
        let finished = Trainer::start(recipe).unwrap().run(&go(), &mut Silent);
        let finished = finished.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(finished.checkpoint.join(WEIGHTS).is_file(), "{name}");
        assert_eq!(lines(&dir.path().join(&name)).last().unwrap()["updates/skipped"], 0.0, "{name}");
        seen += 1;
    }
    assert!(seen >= 8, "{seen} recipes");
}

#[test]
fn what_an_adapter_cannot_mean_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let read = |more: &[&str]| from_text(RECIPE, "lora.toml", &words(dir.path(), "never", more));
    for (word, message) in [
        ("model.train=[\"text\"]", "`model.train` should be absent, as an adapter is trained instead"),
        ("model.adapter=\"x\"", "`model.adapter` should be absent beside [model.lora]"),
        ("model.lora.rank=0", "`model.lora.rank` should be at least 1, but is 0"),
        ("model.lora.dropout=1.0", "`model.lora.dropout` should be at least 0 and under 1, but is 1"),
        ("model.lora.target_modules=\"(\"", "`model.lora.target_modules` should be a regular expression"),
        ("model.lora.r=4", "unknown key `model.lora.r`"),
    ] {
        let error = read(&[word]).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(message), "{word}: {error}");
    }
    // What needs the model is said before anything is written.
    let error = Trainer::start(read(&["model.lora.target_modules=[\"query\"]"]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("`query`, which fits none"), "{error}");
    assert!(!dir.path().join("never").exists());
}

#[test]
fn the_head_alone_of_a_tied_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    tiny::write(&path, &TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen3Vl) }).unwrap();
    let text = RECIPE.replace("lora = {", "#");
    let read = |parts: &str| {
        let recipe = from_text(&text, "tied.toml", &words(dir.path(), "tied", &[parts])).unwrap();
        let started = Trainer::start(recipe);
        assert!(!dir.path().join("tied").exists(), "a run was begun");
        started
    };
    match read("model.train=[\"lm_head\"]").unwrap_err() {
        Error::Recipe { place, message } => {
            assert!(place == "model.train" && message.contains("one matrix"), "{message}");
        }
        other => panic!("{other}"),
    }
}
