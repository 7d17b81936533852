//! What a run leaves on the disk: the same bytes from the same seed, however it was stopped or cut.

use super::*;

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
