//! Whole runs of a very small model: deterministic to the byte, resumable to the byte, complete on disk.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_trainer::observer::{Observer, Silent};
use foveate_trainer::recipe::{Recipe, from_text};
use foveate_trainer::{Error, Trainer};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

#[path = "../support/runs.rs"]
mod runs;

mod bytes;
mod faults;
mod methods;
mod q_hawkeye;
mod views;

use runs::{StopAfter, bytes, go, model, words};

const RECIPE: &str = r#"
seed = 11

[data]
task = "shapes"
size = 56

[rollout]
prompts = 4
group = 3
max_tokens = 4

[objective]
clip_high = 0.28
dual_clip = 3.0

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
lr = 1e-3
schedule = "linear"
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
eval_every = 2

[[eval]]
task = "shapes"
corruptions = ["gaussian_noise"]
limit = 3
"#;

fn recipe(dir: &Path, out: &str, more: &[&str]) -> Recipe {
    from_text(RECIPE, "flow.toml", &words(dir, out, more)).unwrap_or_else(|e| panic!("{e}"))
}

fn run(dir: &Path, out: &str, more: &[&str]) -> PathBuf {
    let mut trainer = Trainer::start(recipe(dir, out, more)).unwrap_or_else(|e| panic!("{e}"));
    trainer.run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    dir.join(out)
}

/// Lines without what a clock says.
fn metrics(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let timeless = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().retain(|name, _| !name.starts_with("time/"));
        value
    };
    text.lines().map(timeless).collect()
}

const WEIGHTS: &str = "model.safetensors";
const STATE: &str = "trainer/optimizer.safetensors";

const VIEWS: &str = r#"
[[view]]
name = "one"
corruptions = ["gaussian_noise", "contrast"]

[[view]]
name = "two"
corruptions = ["gaussian_noise", "contrast"]
"#;
