//! Whole runs of a very small model: deterministic to the byte, resumable to the byte, complete on disk.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Silent, Stage};
use foveate_trainer::recipe::{Recipe, from_text};
use foveate_trainer::{Error, Trainer};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

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

fn model(dir: &Path) -> PathBuf {
    let path = dir.join("model");
    if !path.exists() {
        let spec = TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
        tiny::write(&path, &spec).unwrap();
    }
    path
}

fn recipe(dir: &Path, out: &str, more: &[&str]) -> Recipe {
    let mut words = vec![
        format!("model.path={:?}", model(dir).to_str().unwrap()),
        format!("out={:?}", dir.join(out).to_str().unwrap()),
    ];
    words.extend(more.iter().map(ToString::to_string));
    from_text(RECIPE, "flow.toml", &words).unwrap_or_else(|e| panic!("{e}"))
}

fn go() -> AtomicBool {
    AtomicBool::new(false)
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

fn bytes(run: &Path, step: u64, file: &str) -> Vec<u8> {
    let path = run.join(format!("checkpoints/step-{step:06}/{file}"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

const WEIGHTS: &str = "model.safetensors";
const STATE: &str = "trainer/optimizer.safetensors";

fn same(a: &Path, b: &Path, step: u64) {
    for file in [WEIGHTS, STATE, "trainer/progress.json", "config.json", "tokenizer.json"] {
        assert!(bytes(a, step, file) == bytes(b, step, file), "{file} of step {step} differs");
    }
}

#[test]
fn a_run_is_whole_and_the_same_run_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let first = run(dir.path(), "a", &[]);
    let threads = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let second = threads.install(|| run(dir.path(), "b", &[]));
    same(&first, &second, 5);
    assert_eq!(metrics(&first), metrics(&second));
    let completions = |run: &Path| std::fs::read_to_string(run.join("completions.jsonl")).unwrap();
    assert_eq!(completions(&first), completions(&second));
    assert_eq!(completions(&first).lines().count(), 3 * 4 * 3);
    assert_eq!(std::fs::read_to_string(first.join("latest")).unwrap(), "checkpoints/step-000005\n");
    let other = run(dir.path(), "c", &["seed=12"]);
    assert_ne!(bytes(&first, 5, WEIGHTS), bytes(&other, 5, WEIGHTS));
    assert!(bytes(&first, 2, WEIGHTS) != bytes(&first, 5, WEIGHTS), "training changed nothing");
}

#[test]
fn the_metrics_have_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let lines = metrics(&run(dir.path(), "a", &[]));
    let steps: Vec<_> =
        lines.iter().map(|l| (l["step"].as_u64().unwrap(), l["stage"].as_str().unwrap())).collect();
    let expected = [(0, "start"), (1, "warmup"), (2, "warmup"), (3, "train"), (4, "train"), (5, "train")];
    assert_eq!(steps, expected);
    for name in [
        "reward/mean",
        "reward/std",
        "reward/exact",
        "reward/format",
        "accuracy",
        "loss/total",
        "loss/policy",
        "loss/reference-kl",
        "kl/reference",
        "loss/entropy",
        "entropy",
        "grad_norm",
        "lr",
        "tokens/generated",
        "tokens/trained",
        "ratio/mean",
        "clip/high",
        "clip/low",
        "clip/dual",
        "logp/sampler_gap",
        "length/mean",
        "length/cut",
        "groups/silent",
        "unparsed",
        "updates/skipped",
    ] {
        for line in &lines[3..] {
            assert!(line[name].is_number(), "step {} has no {name}: {line}", line["step"]);
        }
    }
    for line in [&lines[0], &lines[2], &lines[4], &lines[5]] {
        for name in ["clean", "gaussian_noise-3", "corrupted"] {
            assert!(line[format!("eval/shapes/{name}/accuracy")].is_number(), "no {name}: {line}");
        }
    }
    // The reference is the model at the end of the warm-up: at first it is the policy itself.
    let first = &lines[3];
    let gap = first["logp/sampler_gap"].as_f64().unwrap();
    assert!(gap < 1e-4, "trainer and sampler disagree by {gap}");
    assert!(first["kl/reference"].as_f64().unwrap() >= 0.0);
}

/// Stops a run after some step.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn step(&mut self, _: Stage, step: u64, _: &Metrics) {
        self.1.store(step >= self.0, Ordering::Relaxed);
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let dir = tempfile::tempdir().unwrap();
    let whole = run(dir.path(), "whole", &[]);
    // In the warm-up, between the stages, in the training.
    for step in [1, 2, 4] {
        let name = format!("stopped-{step}");
        let stop = go();
        let mut trainer = Trainer::start(recipe(dir.path(), &name, &["train.checkpoint_every=0"])).unwrap();
        let finished = trainer.run(&stop, &mut StopAfter(step, &stop)).unwrap();
        assert!(finished.interrupted && finished.step == step, "{finished:?}");
        drop(trainer);
        let stopped = dir.path().join(name);
        // What a kill after the checkpoint leaves: a line of a step that the checkpoint does not have.
        let torn = format!("{{\"step\":{},\"stage\":\"train\"}}\n{{\"step\":", step + 1);
        let path = stopped.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).unwrap() + &torn;
        std::fs::write(&path, text).unwrap();
        let mut trainer = Trainer::resume(&stopped, &[]).unwrap();
        let finished = trainer.run(&go(), &mut Silent).unwrap();
        assert!(!finished.interrupted && finished.step == 5, "{finished:?}");
        same(&whole, &stopped, 5);
        assert_eq!(metrics(&whole), metrics(&stopped));
    }
}

#[test]
fn the_token_budget_cuts_passes_not_the_loss() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["warmup.steps=0", "train.steps=1", "eval=[]", "optim.updates=1"];
    let budget = |name: &str, tokens: &str| metrics(&run(dir.path(), name, &[&more[..], &[tokens]].concat()));
    let (one, many) = (budget("one", "optim.token_budget=100000"), budget("many", "optim.token_budget=1"));
    for name in ["loss/total", "loss/policy", "loss/entropy", "grad_norm", "entropy"] {
        let (a, b) = (one[0][name].as_f64().unwrap(), many[0][name].as_f64().unwrap());
        assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{name}: {a} in one pass, {b} in many");
    }
    assert!(one[0]["grad_norm"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("never");
    for more in [&["model.path=/nowhere"][..], &["data.task=easy-vqa", "data.path=/nowhere"]] {
        let error = Trainer::start(recipe(dir.path(), "never", more)).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("/nowhere"), "{error}");
        assert!(!out.exists());
    }
    run(dir.path(), "there", &["train.steps=1", "warmup.steps=0", "eval=[]"]);
    let error = Trainer::start(recipe(dir.path(), "there", &[])).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("--resume"), "{error}");
    assert!(Trainer::resume(dir.path(), &[]).unwrap_err().is_input());
}

#[test]
fn numbers_that_are_not_finite_are_skipped_dumped_and_in_the_end_fatal() {
    let dir = tempfile::tempdir().unwrap();
    // A learning rate that blows the weights up in the first update; later ones meet infinities. In the
    // supervised stage, since a model that is not finite is refused by sampling before there is a gradient.
    let more = [
        "warmup.steps=9",
        "warmup.lr=1e38",
        "train.steps=0",
        "eval=[]",
        "optim.max_skipped=1",
        // Weights that are not finite are refused by checkpoints too; here the updates must meet them.
        "train.checkpoint_every=0",
        "optim.updates=1",
        "optim.schedule=constant",
    ];
    let mut trainer = Trainer::start(recipe(dir.path(), "a", &more)).unwrap();
    match trainer.run(&go(), &mut Silent) {
        Err(Error::NotFinite { skipped, max, .. }) => assert_eq!((skipped, max), (2, 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(dir.path().join("a/dumps")).unwrap().count(), 2);
}

const VIEWS: &str = r#"
[[view]]
name = "one"
corruptions = ["gaussian_noise", "contrast"]

[[view]]
name = "two"
corruptions = ["gaussian_noise", "contrast"]
"#;

/// The weights after two steps with `terms`. (`view-policy` needs answers that differ in reward, which this
/// model may not give; its gradient is tested with the other terms' in the objectives.)
fn after(dir: &Path, name: &str, terms: &str) -> Vec<u8> {
    let words = [
        format!("model.path={:?}", model(dir).to_str().unwrap()),
        format!("out={:?}", dir.join(name).to_str().unwrap()),
        format!("term=[{terms}]"),
        "warmup.steps=0".into(),
        "train.steps=2".into(),
        "eval=[]".into(),
    ];
    let recipe =
        from_text(&format!("{RECIPE}{VIEWS}"), "flow.toml", &words).unwrap_or_else(|e| panic!("{e}"));
    Trainer::start(recipe).unwrap().run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    bytes(&dir.join(name), 2, WEIGHTS)
}

#[test]
fn terms_on_views_reach_the_weights_and_without_weight_are_absent() {
    let dir = tempfile::tempdir().unwrap();
    let without = after(dir.path(), "without", "");
    for (i, term) in [
        r#"name = "view-kl", views = ["one"]"#,
        r#"name = "view-kl", views = ["one"], stale = true"#,
        r#"name = "view-kl", views = ["one", "two"], through = "view", worst = "sequence""#,
        r#"name = "view-kl", views = ["picked"], through = "both""#,
        r#"name = "view-entropy", view = "two", gradient = true, kind = "full""#,
        r#"name = "entropy", kind = "full""#,
    ]
    .iter()
    .enumerate()
    {
        let with = after(dir.path(), &format!("with-{i}"), &format!("{{{term}, weight = 0.5}}"));
        assert!(with != without, "{term} changes nothing");
        let off = after(dir.path(), &format!("off-{i}"), &format!("{{{term}, weight = 0.0}}"));
        assert!(off == without, "{term} of weight 0 changes something");
    }
}

/// What a method's metrics must say, besides what every run's do.
fn quantities(recipe: &str) -> &'static [&'static str] {
    const PAPO: &[&str] = &[
        "term/view-kl",
        "term/view-kl/mean",
        "term/view-kl/variance",
        "term/view-kl/max",
        "term/view-kl/saturated",
        "term/entropy",
        "term/view-entropy",
        "entropy/mask",
        "clip/dual",
        "reward/exact",
        "reward/format",
        "hacking/kl_explodes",
        "hacking/clip_rises",
        "hacking/entropies_rise",
        "hacking/reward_falls",
    ];
    match recipe {
        "grpo" => &["kl/reference", "kl/reference/saturated"],
        "dapo" => &["groups/asked", "groups/rounds", "length/cut", "reward/length"],
        "gspo" => &["ratio/max"],
        "papo-g" | "papo-d" => PAPO,
        "roma" => &[
            "term/view-kl/mean",
            "term/view-kl/tokens",
            "term/view-kl/saturated",
            "loss/view-policy",
            "term/view-policy",
        ],
        "papo-roma" => &["term/view-kl/mean", "term/view-kl-2/mean", "loss/view-policy", "entropy/mask"],
        "q-hawkeye" => &[
            "score/plcc",
            "score/srcc",
            "score/krcc",
            "score/rmse",
            "groups/weight",
            "term/view-kl/mean",
            "entropy/degraded",
            "reward/score",
            "reward/format",
            "reward/repetition",
            "kl/reference",
        ],
        _ => &[],
    }
}

const EVERYWHERE: [&str; 16] = [
    "reward/mean",
    "reward/std",
    "accuracy",
    "unparsed",
    "loss/total",
    "loss/policy",
    "entropy",
    "grad_norm",
    "lr",
    "policy/moved",
    "ratio/mean",
    "clip/low",
    "clip/high",
    "length/mean",
    "groups/silent",
    "logp/sampler_gap",
];

#[test]
fn every_recipe_of_the_examples_runs_and_says_what_its_method_names() {
    let dir = tempfile::tempdir().unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes");
    let small = [
        "rollout.prompts=4",
        "rollout.group=3",
        "warmup.steps=1",
        "warmup.images=2",
        "warmup.questions=2",
        "train.steps=20",
        "train.checkpoint_every=0",
        "eval=[]",
    ];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let read = foveate_trainer::recipe::from_file(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
        if read.data.path.is_some() || read.model.path != Path::new("tiny") {
            continue;
        }
        let mut words: Vec<String> = small.iter().map(ToString::to_string).collect();
        // The smallest picture in which the targets of `search` are there at all.
        words.push(format!("data.size={}", if read.data.task == "search" { 224 } else { 56 }));
        words.push(format!("model.path={:?}", model(dir.path()).to_str().unwrap()));
        words.push(format!("out={:?}", dir.path().join(&name).to_str().unwrap()));
        let recipe = foveate_trainer::recipe::from_file(&path, &words).unwrap_or_else(|e| panic!("{e}"));
        let terms: Vec<String> = recipe.term.iter().map(|t| format!("loss/{}", t.term.name)).collect();
        let mut trainer = Trainer::start(recipe).unwrap_or_else(|e| panic!("{name}: {e}"));
        trainer.run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines = metrics(&dir.path().join(&name));
        assert_eq!(lines.len(), 21, "{name}");
        let last = lines[20].as_object().unwrap();
        // A term that is annealed away is in the first lines only.
        let said = |metric: &String| lines[1..].iter().any(|line| line.get(metric).is_some());
        let named = EVERYWHERE.iter().chain(quantities(&name)).map(ToString::to_string);
        for metric in named.chain(terms) {
            assert!(said(&metric), "{name} has no {metric}: {}", lines[20]);
        }
        assert_eq!(last["updates/skipped"], 0.0, "{name}");
    }
}

/// Gives no finite number at some calls.
#[derive(Debug)]
struct Broken {
    calls: std::sync::atomic::AtomicUsize,
    at: std::ops::Range<usize>,
}

impl foveate_trainer::reward::Reward for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn score(&self, _: &foveate_trainer::reward::Answer<'_>) -> foveate_trainer::Result<Option<f64>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Some(if self.at.contains(&call) { f64::NAN } else { 0.0 }))
    }
}

#[test]
fn a_reward_that_is_not_finite_skips_its_step_alone() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["warmup.steps=0", "train.steps=4", "eval=[]", "optim.max_skipped=2"];
    let run = |name: &str, at| {
        let mut trainer = Trainer::start(recipe(dir.path(), name, &more)).unwrap();
        trainer.add_reward(1.0, Box::new(Broken { calls: 0.into(), at }));
        trainer.run(&go(), &mut Silent)
    };
    // Four prompts of three answers a step: one call of the second step.
    assert!(!run("once", 15..16).unwrap().interrupted);
    let lines = metrics(&dir.path().join("once"));
    let skipped: Vec<f64> = lines.iter().map(|l| l["updates/skipped"].as_f64().unwrap()).collect();
    assert_eq!(skipped, [0.0, 1.0, 1.0, 1.0]);
    assert!(lines[1].get("grad_norm").is_none() && lines[2]["grad_norm"].is_number());
    let dumps: Vec<_> = std::fs::read_dir(dir.path().join("once/dumps")).unwrap().collect();
    assert_eq!(dumps.len(), 1);
    let step = |step| bytes(&dir.path().join("once"), step, WEIGHTS);
    assert!(step(1) == step(2) && step(2) != step(3), "the second step alone is skipped");
    match run("always", 0..1000) {
        Err(Error::NotFinite { skipped, max, .. }) => assert_eq!((skipped, max), (3, 2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loss_that_overflows_in_a_view_is_skipped_dumped_and_in_the_end_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let term = r#"term=[{name = "view-kl", views = ["one"], through = "view", weight = 1e300}]"#;
    let words = [
        format!("model.path={:?}", model(dir.path()).to_str().unwrap()),
        format!("out={:?}", dir.path().join("a").to_str().unwrap()),
        term.into(),
        "warmup.steps=0".into(),
        "eval=[]".into(),
        "optim.updates=1".into(),
        "optim.max_skipped=1".into(),
    ];
    let recipe = from_text(&format!("{RECIPE}{VIEWS}"), "flow.toml", &words).unwrap();
    match Trainer::start(recipe).unwrap().run(&go(), &mut Silent) {
        Err(Error::NotFinite { skipped, max, .. }) => assert_eq!((skipped, max), (2, 1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_dir(dir.path().join("a/dumps")).unwrap().count(), 2);
}

#[test]
fn the_kl_in_the_reward_is_taken_off_it() {
    let dir = tempfile::tempdir().unwrap();
    let term = r#"{name = "reference-kl", estimator = "k1", place = "reward", weight = 0.1}"#;
    let with = after(dir.path(), "with", term);
    assert!(with != after(dir.path(), "without", ""), "it changes nothing");
    let lines = metrics(&dir.path().join("with"));
    // At the first step the policy is its own reference.
    assert!(lines[0]["reward/penalty"].as_f64().unwrap().abs() < 1e-6);
    assert!(lines[1]["reward/penalty"].as_f64().unwrap().abs() > 1e-6);
    assert!(lines[1].get("loss/reference-kl").is_none());
}

#[test]
fn the_best_checkpoint_is_kept_and_measured_answers_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["train.keep=1", "train.steps=6", "train.eval_completions=2"];
    let run = run(dir.path(), "a", &more);
    let best = std::fs::read_to_string(run.join("best")).unwrap();
    assert!(run.join(best.trim()).is_dir(), "{best}");
    let measured = |l: &Value| Some((l["eval/shapes/clean/accuracy"].as_f64()?, l["step"].as_u64()?));
    let all: Vec<_> = metrics(&run).iter().filter(|l| l["step"] != 0).filter_map(measured).collect();
    let (_, step) = all.iter().fold((f64::MIN, 0), |b, &(v, s)| if v > b.0 { (v, s) } else { b });
    assert_eq!(best, format!("checkpoints/step-{step:06}\n"), "{all:?}");
    let kept = std::fs::read_dir(run.join("checkpoints")).unwrap().count();
    assert!(kept <= 2, "{kept} checkpoints where the latest and the best are kept");
    let text = std::fs::read_to_string(run.join("evaluations.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    // Two of each kind of image at each of the evaluations: before, after the warm-up, at 2, 4 and 6.
    assert_eq!(lines.len(), 2 * 2 * 5);
    for key in ["step", "task", "images", "id", "question", "answer", "completion", "outcome"] {
        assert!(lines[0].get(key).is_some(), "{key}: {}", lines[0]);
    }
}
