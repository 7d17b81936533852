//! Numbers that are not finite, in a reward, in a view, in a gradient: the step is skipped, dumped and counted,
//! the run goes on, and ends after too many.

use super::*;
use foveate_trainer::reward::{Answer, Reward};
use foveate_trainer::rollout::Group;
use foveate_vision::processor::Prompt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// What each of these runs is: four steps of one update, of which two may be lost.
const FOUR: [&str; 6] = [
    "warmup.steps=0",
    "train.steps=4",
    "train.checkpoint_every=1",
    "eval=[]",
    "optim.updates=1",
    "optim.max_skipped=2",
];

fn with(dir: &Path, name: &str, more: &[&str]) -> Recipe {
    let words = words(dir, name, &[&FOUR[..], more].concat());
    from_text(&format!("{RECIPE}{VIEWS}"), "flow.toml", &words).unwrap_or_else(|e| panic!("{e}"))
}

/// The step `lost` (from 1) of a run of four left no trace but a count and a dump.
fn one_step_is_lost(run: &Path, lost: usize) {
    let lines = metrics(run);
    let skipped: Vec<f64> = lines.iter().map(|l| l["updates/skipped"].as_f64().unwrap()).collect();
    let expected: Vec<f64> = (1..5).map(|step| f64::from(u8::from(step >= lost))).collect();
    assert_eq!(skipped, expected);
    let norms: Vec<bool> = lines.iter().map(|l| l["grad_norm"].is_number()).collect();
    assert_eq!(norms, (1..5).map(|step| step != lost).collect::<Vec<_>>(), "{lines:?}");
    let dumps: Vec<_> = std::fs::read_dir(run.join("dumps")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(dumps, [run.join(format!("dumps/step-{lost:06}-0.json"))]);
    let dump: Value = serde_json::from_slice(&std::fs::read(&dumps[0]).unwrap()).unwrap();
    assert_eq!(dump["completion_ids"].as_array().unwrap().len(), 4, "the groups of the step: {dump}");
    let weights = |step| bytes(run, step as u64, WEIGHTS);
    for step in 2..5 {
        assert_eq!(weights(step - 1) == weights(step), step == lost, "weights after step {step}");
    }
    if lost == 1 {
        // There is no checkpoint before the first step, but the reference is the model as it was.
        assert!(std::fs::read(run.join("reference").join(WEIGHTS)).unwrap() == weights(1));
    }
}

fn too_many(ended: foveate_trainer::Result<foveate_trainer::Finished>, run: &Path) {
    match ended {
        Err(Error::NotFinite { skipped, max, dumps }) => {
            assert_eq!((skipped, max, dumps.clone()), (3, 2, run.join("dumps")));
            assert_eq!(std::fs::read_dir(dumps).unwrap().count(), 3);
        }
        other => panic!("{other:?}"),
    }
}

/// Gives no finite number at some calls.
#[derive(Debug)]
struct Broken {
    calls: AtomicUsize,
    at: Range<usize>,
}

impl Reward for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn score(&self, _: &Answer<'_>) -> foveate_trainer::Result<Option<f64>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Some(if self.at.contains(&call) { f64::NAN } else { 0.0 }))
    }
}

#[test]
fn a_reward() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, at| {
        let mut trainer = Trainer::start(with(dir.path(), name, &[])).unwrap();
        trainer.add_reward(1.0, Box::new(Broken { calls: 0.into(), at }));
        trainer.run(&go(), &mut Silent)
    };
    // Four prompts of three answers a step: one call of the second step.
    assert!(!run("once", 15..16).unwrap().interrupted);
    one_step_is_lost(&dir.path().join("once"), 2);
    too_many(run("always", 0..1000), &dir.path().join("always"));
}

/// Puts a number that is none into one value of one corrupted picture at some steps.
struct Spoilt(Range<u64>);

impl Observer for Spoilt {
    fn sampled(&mut self, step: u64, groups: &mut [Group]) {
        if self.0.contains(&step) {
            let (name, prompt) = &mut groups[1].views[0];
            assert_eq!(name, "one");
            let mut image = (*prompt.images[0]).clone();
            image.values_np[7] = f32::NAN;
            let input_ids = prompt.input_ids.clone();
            *prompt = Arc::new(Prompt { input_ids, images: vec![Arc::new(image)] });
        }
    }
}

#[test]
fn a_view() {
    let dir = tempfile::tempdir().unwrap();
    let term = r#"term=[{name = "view-kl", views = ["one"], through = "view", weight = 0.1}]"#;
    for lean in ["optim.lean_views=false", "optim.lean_views=true"] {
        let run = |name: &str, steps| {
            let recipe = with(dir.path(), name, &[term, lean]);
            Trainer::start(recipe).unwrap().run(&go(), &mut Spoilt(steps))
        };
        let (once, always) = (format!("once-{}", &lean[17..]), format!("always-{}", &lean[17..]));
        assert!(!run(&once, 2..3).unwrap().interrupted);
        one_step_is_lost(&dir.path().join(once), 2);
        too_many(run(&always, 0..9), &dir.path().join(always));
    }
}

#[test]
fn a_gradient() {
    let dir = tempfile::tempdir().unwrap();
    // At first the policy is its own reference, and k1 is exactly 0: the loss is finite, but its gradient is the
    // weight, and no f32 holds that once it is divided by the temperature and summed over tokens.
    let run = |name: &str, until: &str| {
        let anneal = format!("anneal = {{shape = \"linear\", until = {until}}}");
        let sums = "reduction = \"seq-mean-token-sum\"";
        let kl = format!("{{name = \"reference-kl\", estimator = \"k1\", weight = 3e38, {sums}, {anneal}}}");
        let recipe = with(dir.path(), name, &["rollout.temperature=0.1", &format!("term=[{kl}]")]);
        Trainer::start(recipe).unwrap().run(&go(), &mut Silent)
    };
    // Gone after the first of four steps.
    assert!(!run("once", "0.25").unwrap().interrupted);
    let once = dir.path().join("once");
    assert_eq!(metrics(&once)[0]["loss/total"].as_f64().map(f64::is_finite), Some(true));
    one_step_is_lost(&once, 1);
    too_many(run("always", "1.0"), &dir.path().join("always"));
}

#[test]
fn a_loss_that_overflows() {
    let dir = tempfile::tempdir().unwrap();
    let term = r#"term=[{name = "view-kl", views = ["one"], through = "view", weight = 1e300}]"#;
    let run = Trainer::start(with(dir.path(), "a", &[term])).unwrap().run(&go(), &mut Silent);
    too_many(run, &dir.path().join("a"));
}

#[test]
fn weights_that_overflow_in_the_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    // A learning rate that blows the weights up in the first update; later ones meet infinities. In the
    // supervised stage, since a model that is not finite is refused by sampling before there is a gradient.
    // Weights that are not finite are refused by checkpoints too; here the updates must meet them.
    let more = ["warmup.steps=9", "warmup.lr=1e38", "train.steps=0", "train.checkpoint_every=0"];
    let run = Trainer::start(with(dir.path(), "a", &more)).unwrap().run(&go(), &mut Silent);
    too_many(run, &dir.path().join("a"));
}
