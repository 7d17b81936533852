//! Whole runs of answers of several turns.

use super::*;

/// A recipe of the examples with a very small model, at a size for tests.
fn recipe(dir: &Path, out: &str, more: &[&str]) -> Recipe {
    let model = dir.join("model");
    if !model.exists() {
        tiny::write(&model, &TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) }).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recipes/mgpo.toml");
    let mut words = vec![
        format!("model.path={:?}", model.to_str().unwrap()),
        format!("out={:?}", dir.join(out).to_str().unwrap()),
    ];
    let small =
        ["data.size=224", "rollout.prompts=4", "rollout.group=3", "warmup.steps=2", "warmup.images=2"];
    words.extend(small.iter().chain(more).map(ToString::to_string));
    from_file(&path, &words).unwrap_or_else(|e| panic!("{e}"))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn run(recipe: Recipe) {
    let mut trainer = Trainer::start(recipe).unwrap_or_else(|e| panic!("{e}"));
    trainer.run(&AtomicBool::new(false), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn the_recipe_runs_twenty_steps_and_says_what_it_saw() {
    let dir = tempfile::tempdir().unwrap();
    run(recipe(
        dir.path(),
        "a",
        &["train.steps=20", "train.checkpoint_every=0", "eval=[{task=\"search\", limit=4}]"],
    ));
    let metrics = lines(&dir.path().join("a/metrics.jsonl"));
    let trained: Vec<_> = metrics.iter().filter(|line| line["stage"] == "train").collect();
    assert_eq!(trained.len(), 20);
    for line in &trained {
        for name in
            ["boxes/valid", "boxes/area", "boxes/hit", "boxes/iou", "turns/mean", "boxes/refused/no-block"]
        {
            assert!(line[name].is_number(), "no {name}: {line}");
        }
        assert_eq!(line["turns/mean"], 2.0);
        let gap = line["logp/sampler_gap"].as_f64().unwrap();
        assert!(gap < 1e-5, "trainer and sampler disagree by {gap}");
    }
    assert!(trained[19]["eval/search/clean/boxes/valid"].is_number(), "{}", trained[19]);
    let completions = lines(&dir.path().join("a/completions.jsonl"));
    assert_eq!(completions.len(), 20 * 4 * 3);
    for line in completions {
        let turns = line["turns"].as_array().unwrap();
        assert!(turns.len() == 1 && line["completion"].is_string(), "{line}");
        assert!(
            turns[0]["reply"].is_string() && turns[0]["refused"].is_string() != turns[0]["box"].is_array()
        );
    }
}

#[test]
fn a_box_and_its_part_stand_in_the_record_of_a_rollout() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path(), "a", &[]);
    let policy = LocalPolicy::load(&recipe.model.path).unwrap();
    let turns = Turns::new(recipe.rollout.turns.as_ref().unwrap(), &policy).unwrap();
    let source = Source::open("search", None, Split::Train, Some(448), None, 3).unwrap();
    for opened in turns.open(&policy, &source, &[0, 1, 2, 3], |image, _| image.clone()).unwrap() {
        let given = turns.given(&policy, &opened).unwrap();
        let region = given.heard[0].region.unwrap();
        let target = hull(&opened.sample).unwrap();
        let original = region.original.map(f64::from);
        assert!(original[0] <= target[0] && original[2] >= target[2], "{original:?} {target:?}");
        assert!(original[1] <= target[1] && original[3] >= target[3], "{original:?} {target:?}");
        assert!(region.said.iter().all(|corner| corner % 28 == 0), "{:?}", region.said);
        let text = policy.text(&given.ids[given.heard[0].after..]).unwrap();
        assert_eq!(text, opened.sample.answer);
        let line = group(&opened, vec![rollout(given, 0)]).lines(7, &[0.5]).remove(0);
        let turn = &line["turns"][0];
        assert_eq!((&turn["box"], &turn["crop"]), (&json!(region.said), &json!(region.original)), "{line}");
        assert!(turn["reply"].as_str().unwrap().ends_with("\n```") && turn["refused"].is_null(), "{line}");
    }
}

#[test]
fn a_run_with_turns_that_was_stopped_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let more = ["train.steps=3", "train.checkpoint_every=0", "eval=[]", "optim.updates=2"];
    run(recipe(dir.path(), "whole", &more));
    for steps in [1, 3, 4] {
        let out = dir.path().join(format!("stopped-{steps}"));
        let stop = AtomicBool::new(false);
        let name = out.file_name().unwrap().to_string_lossy().into_owned();
        let mut trainer = Trainer::start(recipe(dir.path(), &name, &more)).unwrap();
        let finished = trainer.run(&stop, &mut StopAfter(steps, &stop)).unwrap();
        assert!(finished.interrupted && finished.step == steps, "{finished:?}");
        drop(trainer);
        let mut trainer = Trainer::resume(&out, &[]).unwrap();
        trainer.run(&AtomicBool::new(false), &mut Silent).unwrap();
        for file in ["model.safetensors", "trainer/optimizer.safetensors"] {
            let bytes =
                |run: &str| std::fs::read(dir.path().join(run).join("checkpoints/step-000005").join(file));
            assert!(bytes("whole").unwrap() == bytes(&name).unwrap(), "{file} after {steps}");
        }
        let completions = |run: &str| lines(&dir.path().join(run).join("completions.jsonl"));
        assert_eq!(completions("whole"), completions(&name));
    }
}

/// Stops a run after some step.
struct StopAfter<'a>(u64, &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn step(&mut self, _: Stage, step: u64, _: &Metrics) {
        self.1.store(step >= self.0, Ordering::Relaxed);
    }
}

#[test]
fn what_turns_cannot_be_is_said_with_its_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/recipes/mgpo.toml");
    for (word, expected) in [
        ("rollout.turns.max=1", "at least 2"),
        ("rollout.turns.script=mgp", "one of mgpo, brief"),
        ("rollout.turns.min_side=-1", "at least 0"),
        ("rollout.turns.train=first", "last"),
        ("rollout.turns.frame=percent", "thousandths"),
        ("rollout.turns.turns=2", "unknown key"),
        ("view=[{name=\"one\", corruptions=[\"contrast\"]}]", "absent"),
    ] {
        let error = from_file(&path, &[word.to_string()]).unwrap_err();
        let text = error.to_string();
        assert!(error.is_input() && text.contains(expected), "{word}: {text}");
    }
}
