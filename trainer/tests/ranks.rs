//! One run on several ranks, which are threads here: the losses and weights of one rank, whatever is sharded,
//! and checkpoints that any number of ranks goes on from.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/among.rs"]
mod among;

use among::among;
use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Silent, Stage};
use foveate_trainer::recipe::{Recipe, from_file};
use foveate_trainer::{Error, Trainer};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use safetensors::SafeTensors;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Small, and unlike in what ranks can get wrong: groups that do not divide, two updates a step, passes
/// that are cut, evaluations.
const SMALL: [&str; 17] = [
    "warmup.lr=2e-4",
    "optim.lr=2e-5",
    "reward=[{name=\"exact\"}, {name=\"format\", weight=0.5}]",
    "data.size=56",
    "rollout.prompts=5",
    "rollout.group=4",
    "rollout.max_tokens=4",
    "optim.updates=2",
    "optim.token_budget=150",
    "warmup.steps=4",
    "warmup.images=3",
    "warmup.questions=2",
    "train.steps=16",
    "train.checkpoint_every=10",
    "train.keep=9",
    "train.eval_every=8",
    "eval=[{task=\"shapes\", corruptions=[\"gaussian_noise\"], limit=7}]",
];

/// The terms of `examples/recipes/roma.toml`.
const ROMA: &str = r#"{name="view-kl", views=["one", "two"], through="view", worst="token", scope="correct", weight=0.03}, {name="view-policy", view="picked", scope="correct", weight=0.5}"#;

/// Where the runs in `dir` begin: a model that has learnt to answer, made once. Of one that has not, every
/// token is about as likely as the next: a draw lies within rounding of the bound between two of them often
/// enough, and no group has anything to tell apart.
fn model(dir: &Path, family: Family) -> PathBuf {
    let out = dir.join(format!("{family:?}"));
    if !out.exists() {
        let raw = dir.join(format!("{family:?}-raw"));
        tiny::write(&raw, &TinySpec { words: WORDS, ..TinySpec::laws(family) }).unwrap();
        let words = [format!("model.path={raw:?}"), format!("out={out:?}")];
        let more = ["seed=3", "data.size=56", "train.steps=0", "eval=[]", "warmup.steps=60"];
        let taught = ["warmup.lr=3e-3", "warmup.images=8", "warmup.questions=4"];
        let words: Vec<String> =
            words.into_iter().chain(more.into_iter().chain(taught).map(String::from)).collect();
        let recipe = from_file(&example("grpo"), &words).unwrap();
        Trainer::start(recipe).unwrap().run(&go(), &mut Silent).unwrap();
    }
    let latest = std::fs::read_to_string(out.join("latest")).unwrap();
    out.join(latest.trim())
}

fn example(name: &str) -> PathBuf {
    format!("{}/../examples/recipes/{name}.toml", env!("CARGO_MANIFEST_DIR")).into()
}

fn recipe(dir: &Path, name: &str, out: &str, more: &[&str]) -> Recipe {
    recipe_of(dir, Family::Qwen3Vl, name, out, more)
}

fn recipe_of(dir: &Path, family: Family, name: &str, out: &str, more: &[&str]) -> Recipe {
    let model = model(dir, family);
    let mut words = vec![
        format!("model.path={:?}", model.to_str().unwrap()),
        format!("out={:?}", dir.join(out).to_str().unwrap()),
    ];
    // Entropy has a gradient at every step. Where all answers are worth the same the gradient would be
    // rounding errors alone, of which AdamW makes whole steps.
    let entropy = "{name=\"entropy\", weight=-0.01}";
    words.push(match name {
        "roma" => format!("term=[{ROMA}, {entropy}]"),
        _ => format!("term=[{{name=\"reference-kl\", weight=0.04}}, {entropy}]"),
    });
    words.extend(SMALL.iter().chain(more).map(ToString::to_string));
    from_file(&example(name), &words).unwrap_or_else(|e| panic!("{e}"))
}

fn go() -> AtomicBool {
    AtomicBool::new(false)
}

fn run(dir: &Path, name: &str, out: &str, size: usize, more: &[&str]) -> PathBuf {
    run_of(recipe(dir, name, out, more), size)
}

fn run_of(recipe: Recipe, size: usize) -> PathBuf {
    among(size, |ranks| {
        let mut trainer = Trainer::start_among(recipe.clone(), ranks).unwrap_or_else(|e| panic!("{e}"));
        trainer.run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    });
    recipe.out
}

fn metrics(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const LAST: &str = "checkpoints/step-000020";
const WEIGHTS: &str = "model.safetensors";
const STATE: &str = "trainer/optimizer.safetensors";

fn bytes(run: &Path, file: &str) -> Vec<u8> {
    let path = run.join(LAST).join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The largest difference of two values of a tensor file, but for tensors that end in `but`.
fn gap(a: &Path, b: &Path, file: &str, but: &str) -> f32 {
    let (a, b) = (bytes(a, file), bytes(b, file));
    let (a, b) = (SafeTensors::deserialize(&a).unwrap(), SafeTensors::deserialize(&b).unwrap());
    assert_eq!(a.len(), b.len());
    let values = |data: &[u8]| -> Vec<f32> {
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let of = |(name, a): (String, safetensors::tensor::TensorView<'_>)| {
        let (a, b) = (values(a.data()), values(b.tensor(&name).unwrap().data()));
        assert_eq!(a.len(), b.len(), "{name}");
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    a.tensors()
        .into_iter()
        .filter(|(name, _)| but.is_empty() || !name.ends_with(but))
        .map(of)
        .fold(0.0, f32::max)
}

/// Compares every number that is not a time; the largest difference of a loss.
fn compare(one: &Path, many: &Path) -> f64 {
    let (one, many) = (metrics(one), metrics(many));
    assert_eq!(one.len(), many.len());
    let mut most = 0.0f64;
    for (one, many) in one.iter().zip(&many) {
        for (name, value) in one.as_object().unwrap() {
            if name.starts_with("time/") {
                continue;
            }
            let found = &many[name];
            let (Some(a), Some(b)) = (value.as_f64(), found.as_f64()) else {
                assert_eq!(value, found, "{name}");
                continue;
            };
            let gap = (a - b).abs() / a.abs().max(1.0);
            assert!(gap <= 1e-4, "step {}: {name} is {a} on one rank, {b} on many", one["step"]);
            if name.starts_with("loss/") {
                most = most.max((a - b).abs());
            }
        }
    }
    most
}

fn lines(run: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was asked and answered, without numbers that are rounded.
fn said(run: &Path, file: &str) -> Vec<[Value; 5]> {
    let pick = |line: Value| ["step", "id", "completion", "tokens", "outcome"].map(|name| line[name].clone());
    lines(run, file).into_iter().map(pick).collect()
}

#[test]
fn two_ranks_make_the_losses_and_weights_of_one() {
    let two = (2, &[][..]);
    let three = (3, &["ranks.zero=2", "ranks.bucket_mb=1"][..]);
    let cases = [
        (Family::Qwen3Vl, "grpo", vec![two, three]),
        (Family::Qwen3Vl, "roma", vec![two, three]),
        (Family::Qwen2_5Vl, "grpo", vec![two]),
    ];
    for (family, name, sizes) in cases {
        let dir = tempfile::tempdir().unwrap();
        // A key's bias adds nearly the same to all scores of a query, which softmax takes away: its gradient
        // is little more than rounding errors. The family that has such biases is held to the rest.
        let but = if family == Family::Qwen3Vl { "" } else { "k_proj.bias" };
        let one = run_of(recipe_of(dir.path(), family, name, "one", &[]), 1);
        for (size, more) in sizes {
            let many = run_of(recipe_of(dir.path(), family, name, &format!("of-{size}"), more), size);
            let (loss, weight) = (compare(&one, &many), gap(&one, &many, WEIGHTS, but));
            let what = format!("{family:?}, {name}, {size} ranks");
            eprintln!("{what}: losses differ by {loss:e}, weights by {weight:e}");
            assert!(loss < 1e-5 && weight < 1e-5, "{what}: {loss:e}, {weight:e}");
            for file in ["completions.jsonl", "evaluations.jsonl"] {
                assert_eq!(said(&one, file), said(&many, file), "{what}: {file}");
            }
            let overlap: Vec<f64> =
                metrics(&many).iter().filter_map(|m| m["ranks/overlap"].as_f64()).collect();
            assert!(overlap.len() == 20, "{overlap:?}");
        }
    }
}

#[test]
fn what_is_sharded_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    // Buckets of a chunk each, so that there are many, some of which go out before the pass is over.
    let more = |zero: &'static str| ["train.steps=6", "warmup.steps=1", zero, "optim.token_budget=100000"];
    let runs = ["ranks.zero=0", "ranks.zero=1", "ranks.zero=2"].map(|zero| {
        let out = zero.replace(['.', '='], "-");
        run(dir.path(), "grpo", &out, 2, &more(zero))
    });
    let of = |run: &Path, file: &str| std::fs::read(run.join("checkpoints/step-000007").join(file)).unwrap();
    // One micro-batch a rank and update: then the sums of gradients are sums of the same numbers.
    for file in [WEIGHTS, STATE] {
        assert!(of(&runs[0], file) == of(&runs[1], file), "{file}: moments sharded");
        assert!(of(&runs[0], file) == of(&runs[2], file), "{file}: gradients sharded");
    }
    assert!(
        of(&runs[0], WEIGHTS)
            != of(
                &run(dir.path(), "grpo", "other", 2, &["seed=8", "train.steps=6", "warmup.steps=1"]),
                WEIGHTS
            )
    );
}

/// Stops every rank's run after some step, though only one of them is told to.
struct StopAfter<'a>(u64, &'a AtomicBool, bool);

impl Observer for StopAfter<'_> {
    fn step(&mut self, _: Stage, step: u64, _: &Metrics) {
        self.1.store(self.2 && step >= self.0, Ordering::Relaxed);
    }
}

#[test]
fn any_number_of_ranks_goes_on_from_a_checkpoint_of_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let one = run(dir.path(), "grpo", "one", 1, &[]);
    for sizes in [[2, 1, 2], [1, 3, 1]] {
        let out = format!("changing-{}", sizes[0]);
        let recipe = recipe(dir.path(), "grpo", &out, &[]);
        let at = dir.path().join(&out);
        for (life, size) in sizes.into_iter().enumerate() {
            let finished = among(size, |ranks| {
                let (stop, told) = (go(), ranks.rank() + 1 == size);
                let mut watch = StopAfter([3, 9, 99][life], &stop, told);
                let mut trainer = match life {
                    0 => Trainer::start_among(recipe.clone(), ranks),
                    _ => Trainer::resume_among(&at, Trainer::recorded(&at, &[]).unwrap(), ranks),
                }
                .unwrap_or_else(|e| panic!("{e}"));
                trainer.run(&stop, &mut watch).unwrap_or_else(|e| panic!("{e}")).step
            });
            assert_eq!(finished, vec![[3, 9, 20][life]; size]);
        }
        let (loss, weight) = (compare(&one, &at), gap(&one, &at, WEIGHTS, ""));
        eprintln!("{sizes:?}: losses differ by {loss:e}, weights by {weight:e}");
        assert!(loss < 1e-5 && weight < 1e-5, "{sizes:?}: {loss:e}, {weight:e}");
    }
    // Of as many ranks as before a run that was stopped gives the bytes of one that was not.
    let whole = run(dir.path(), "grpo", "whole", 2, &[]);
    let recipe = recipe(dir.path(), "grpo", "stopped", &[]);
    let at = dir.path().join("stopped");
    among(2, |ranks| {
        let stop = go();
        let mut watch = StopAfter(7, &stop, ranks.rank() == 1);
        Trainer::start_among(recipe.clone(), ranks).unwrap().run(&stop, &mut watch).unwrap();
    });
    among(2, |ranks| {
        Trainer::resume_among(&at, Trainer::recorded(&at, &[]).unwrap(), ranks)
            .unwrap()
            .run(&go(), &mut Silent)
            .unwrap()
    });
    for file in [WEIGHTS, STATE] {
        assert!(bytes(&whole, file) == bytes(&at, file), "{file}");
    }
}

#[test]
fn rounds_of_dynamic_sampling_agree() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["rollout.rounds=3", "rollout.questions=2", "train.steps=8", "warmup.steps=8", "eval=[]"];
    let one = run(dir.path(), "grpo", "one", 1, &more);
    let many = run(dir.path(), "grpo", "many", 2, &more);
    let loss = compare(&one, &many);
    assert!(loss < 1e-5, "{loss:e}");
    let rounds: Vec<f64> = metrics(&one).iter().filter_map(|m| m["groups/rounds"].as_f64()).collect();
    assert!(rounds.iter().any(|&rounds| rounds > 1.0), "{rounds:?}");
    assert_eq!(said(&one, "completions.jsonl"), said(&many, "completions.jsonl"));
}

#[test]
fn a_rank_that_fails_ends_all_with_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), "grpo", "out", &[]);
    let ends = among(2, |ranks| {
        let rank = ranks.rank();
        let mut trainer = Trainer::start_among(recipe.clone(), ranks)?;
        if rank == 1 {
            trainer.add_reward(1.0, Box::new(Broken));
        }
        trainer.run(&go(), &mut Silent).map(|_| ())
    });
    let said: Vec<String> = ends.into_iter().map(|end| end.unwrap_err().to_string()).collect();
    assert_eq!(said[1], "reward `broken` is broken");
    assert_eq!(said[0], "rank 1 failed: reward `broken` is broken");
}

#[test]
fn ranks_with_different_recipes_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (recipe(dir.path(), "grpo", "a", &[]), recipe(dir.path(), "grpo", "b", &["optim.lr=0.5"]));
    let ends = among(2, |ranks| {
        let recipe = if ranks.rank() == 0 { a.clone() } else { b.clone() };
        Trainer::start_among(recipe, ranks).unwrap_err()
    });
    for end in &ends {
        assert!(end.is_input() && end.to_string().contains("lr = 0.5"), "{end}");
    }
    assert!(!dir.path().join("a").exists() && !dir.path().join("b").exists());
}

/// Fails at its first answer.
#[derive(Debug)]
struct Broken;

impl foveate_trainer::reward::Reward for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn score(&self, _: &foveate_trainer::reward::Answer<'_>) -> foveate_trainer::Result<Option<f64>> {
        Err(Error::Reward { name: "broken".into(), message: "is broken".into() })
    }
}
