//! `--adapter` and `merge` as a user meets them: an adapter that `foveate train` wrote, and what may be wrong with one.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/place.rs"]
mod place;

use std::fs;
use std::path::Path;

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use place::{GENERATE, Place, SCORE, agree, answered, edit, end_in_nan, numbers, question, replace};
use serde_json::Value;

const RECIPE: &str = r#"
[model]
path = "model"
[model.lora]
rank = 2
alpha = 16.0
target_modules = "all-linear"
[data]
task = "shapes"
size = 56
[rollout]
prompts = 2
group = 2
max_tokens = 2
[[reward]]
name = "exact"
# Answers of an untrained model are all wrong: without a term there would be nothing to learn.
[[term]]
name = "entropy"
weight = -0.1
[optim]
lr = 0.002
[train]
steps = 2
checkpoint_every = 0
"#;

const WEIGHTS: &str = "adapter_model.safetensors";
const CONFIG: &str = "adapter_config.json";

/// A place with a model, and in `adapter` what a short run made of it.
fn trained() -> Place {
    let place = Place::new(Family::Qwen2_5Vl);
    fs::write(place.at("lora.toml"), RECIPE).unwrap();
    place.done(&["train", "lora.toml", "out=run"]);
    fs::rename(place.at("run/checkpoints/step-000002"), place.at("adapter")).unwrap();
    place.write("in.jsonl", &[answered("a", "What is it?", "a cat"), answered("b", "Where?", "left")]);
    place
}

const EVAL: [&str; 13] = [
    "eval",
    "--task",
    "shapes",
    "--size",
    "56",
    "--limit",
    "8",
    "--max-tokens",
    "4",
    "--model",
    "model",
    "--out",
    "out.jsonl",
];

/// `command` with another word in place of the one that follows `option`.
fn with<'a>(command: &[&'a str], option: &str, word: &'a str) -> Vec<&'a str> {
    let at = 1 + command.iter().position(|other| *other == option).unwrap();
    let mut command = command.to_vec();
    command[at] = word;
    command
}

/// `command` with the adapter.
fn adapted<'a>(command: &[&'a str]) -> Vec<&'a str> {
    [command, &["--adapter", "adapter"]].concat()
}

fn logprobs(place: &Place, name: &str) -> Vec<Value> {
    place.rows(name).into_iter().map(|mut row| row["logprobs"].take()).collect()
}

/// The largest difference.
fn apart(a: &[Value], b: &[Value]) -> f64 {
    let numbers = |rows: &[Value]| rows.iter().flat_map(numbers).collect::<Vec<f64>>();
    numbers(a).into_iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn answers_with_an_adapter_are_scored_as_they_were_drawn() {
    let place = trained();
    place.write("in.jsonl", &[question("a", "What is it?"), question("b", "Where?")]);
    let sampled = [&GENERATE[..], &["--max-tokens", "5", "--n", "16", "--temperature", "0.7"]].concat();
    place.done(&adapted(&sampled));
    let answers = place.rows("out.jsonl");
    assert!(agree(&place, &adapted(&SCORE), &answers) >= 6, "too few tokens could be compared");
    let scored = logprobs(&place, "out.jsonl");
    place.done(&SCORE);
    assert!(apart(&scored, &logprobs(&place, "out.jsonl")) > 0.01, "the adapter changes something");
}

#[test]
fn merged_it_is_a_model_of_its_own() {
    let place = trained();
    place.done(&adapted(&SCORE));
    let apart_from = logprobs(&place, "out.jsonl");
    assert!(place.done(&["merge", "model", "--adapter", "adapter", "--out", "merged"]).contains("merged"));
    place.done(&["merge", "model", "--adapter", "adapter", "--out", "small", "--dtype", "bf16"]);
    let score = |model| {
        place.done(&with(&SCORE, "--model", model));
        logprobs(&place, "out.jsonl")
    };
    let (merged, rounded) = (score("merged"), score("small"));
    assert!(apart(&merged, &apart_from) < 1e-4 && apart(&rounded, &apart_from) < 0.3);
    let size = |model: &str| fs::metadata(place.at(model).join("model.safetensors")).unwrap().len();
    assert!(size("merged") == size("model") && size("small") < size("model") * 6 / 10);
    // What is there already is left alone.
    let said = place.refused(&["merge", "model", "--adapter", "adapter", "--out", "merged"]);
    assert!(said.contains("merged") && said.contains("--out") && said.contains("new directory"), "{said}");
    assert_eq!(score("merged"), merged);
}

#[test]
fn an_evaluation_with_an_adapter_is_that_of_the_merged_model_under_its_own_name() {
    let place = trained();
    place.done(&["merge", "model", "--adapter", "adapter", "--out", "merged"]);
    let records = |words: &[&str], out: &str| {
        place.done(&with(words, "--out", out));
        let mut rows = place.rows(&format!("{out}/records.jsonl"));
        rows.sort_by_key(|row| row["sample"].to_string());
        rows
    };
    let plain = records(&EVAL, "plain");
    let adapted = records(&adapted(&EVAL), "adapted");
    let merged = records(&with(&EVAL, "--model", "merged"), "evaluated");
    let said = |rows: &[Value]| rows.iter().map(|row| row["response"].clone()).collect::<Vec<_>>();
    assert_eq!(said(&adapted), said(&merged));
    assert_ne!(said(&adapted), said(&plain));
    let name = adapted[0]["model"].as_str().unwrap();
    let plain = plain[0]["model"].as_str().unwrap();
    assert!(name.starts_with(&format!("{plain}+adapter@")), "{name} and {plain}");
}

/// What may be wrong with the directory of an adapter, and what the message must name.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

/// Writes other bytes of the same length where `from` stands first.
fn respell(dir: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    edit(dir, WEIGHTS, |bytes| {
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    });
}

const DAMAGES: &[Damage] = &[
    ("nothing there", |dir| fs::remove_dir_all(dir).unwrap(), &["adapter", CONFIG]),
    ("no weights", |dir| fs::remove_file(dir.join(WEIGHTS)).unwrap(), &["adapter", WEIGHTS]),
    ("no config", |dir| fs::remove_file(dir.join(CONFIG)).unwrap(), &["adapter", CONFIG]),
    ("cut off", |dir| edit(dir, WEIGHTS, |bytes| bytes.truncate(bytes.len() - 100)), &["adapter", WEIGHTS]),
    ("no JSON", |dir| edit(dir, CONFIG, |bytes| bytes.truncate(40)), &["adapter", CONFIG]),
    (
        "another rank",
        |dir| replace(dir, CONFIG, "\"r\": 2", "\"r\": 3"),
        &[WEIGHTS, "lora_A", "[3, ", "[2, "],
    ),
    (
        "a method that is not computed",
        |dir| replace(dir, CONFIG, "\"use_dora\": false", "\"use_dora\": true"),
        &[CONFIG, "use_dora", "absent", "true"],
    ),
    (
        "another kind",
        |dir| replace(dir, CONFIG, "\"LORA\"", "\"IA3\""),
        &[CONFIG, "peft_type", "LORA", "IA3"],
    ),
    (
        "a layer that the model lacks",
        |dir| {
            for _ in 0..2 {
                respell(dir, "layers.0.self_attn.q_proj", "layers.9.self_attn.q_proj");
            }
        },
        &[WEIGHTS, "linear layer of this model", "model.language_model.layers.9.self_attn.q_proj"],
    ),
    (
        "one matrix of two",
        |dir| respell(dir, "q_proj.lora_B", "v_proj.lora_C"),
        &[WEIGHTS, "lora_A or lora_B", "lora_C"],
    ),
    ("NaN", |dir| edit(dir, WEIGHTS, |bytes| end_in_nan(bytes)), &[WEIGHTS, "NaN"]),
    (
        "the adapter of a wider model",
        |dir| {
            let (model, spec) = (dir.with_file_name("model"), TinySpec::laws(Family::Qwen2_5Vl));
            fs::remove_dir_all(&model).unwrap();
            let words = tiny::WORDS;
            tiny::write(&model, &TinySpec { words, intermediate: spec.intermediate + 32, ..spec }).unwrap();
        },
        &[WEIGHTS, "mlp", "lora_", "128", "96"],
    ),
];

#[test]
fn an_adapter_that_does_not_fit_is_refused_by_every_command() {
    let place = trained();
    let copy = |from: &str, to: &str| {
        let _ = fs::remove_dir_all(place.at(to));
        fs::create_dir(place.at(to)).unwrap();
        for entry in fs::read_dir(place.at(from)).unwrap().map(|entry| entry.unwrap()) {
            if entry.path().is_file() {
                fs::copy(entry.path(), place.at(to).join(entry.file_name())).unwrap();
            }
        }
    };
    copy("adapter", "good");
    copy("model", "sound");
    let merge = ["merge", "model", "--out", "out.jsonl"];
    let generate = with(&GENERATE, "model", "asked.jsonl");
    place.write("asked.jsonl", &[question(1, "?")]);
    for (what, damage, words) in DAMAGES {
        copy("good", "adapter");
        copy("sound", "model");
        damage(&place.at("adapter"));
        for command in [&SCORE[..], &generate, &EVAL, &merge] {
            let said = place.refused(&adapted(command));
            for word in *words {
                assert!(said.contains(word), "{what}: `{word}` is not in {said}");
            }
            // An evaluation may have begun to keep records, but has none.
            let records = fs::read(place.at("out.jsonl/records.jsonl")).unwrap_or_default();
            assert!(!place.at("out.jsonl").is_file() && records.is_empty(), "{what}: {}", command[0]);
            let _ = fs::remove_dir_all(place.at("out.jsonl"));
        }
    }
}
