//! Conversations with a closer look: against transformers (tests/golden/turns/), against scoring, and whole
//! runs.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::Tensor;
use foveate_datasets::{Grade, ImageRef, Sample, Split, Task};
use foveate_trainer::data::Source;
use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Silent, Stage};
use foveate_trainer::policy::LocalPolicy;
use foveate_trainer::recipe::{Recipe, Trained, TurnsRecipe, from_file};
use foveate_trainer::reward::Scored;
use foveate_trainer::rollout::{Group, Rollout};
use foveate_trainer::turns::{Episode, Opened, Turns, hull};
use foveate_trainer::{Trainer, micro};
use foveate_vision::config::Family;
use foveate_vision::generate::{Generated, Sampling, Stop};
use foveate_vision::grounding::{Frame, Script};
use foveate_vision::pack::Pack;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use image::RgbImage;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| number(id) as u32).collect()
}

/// `synth_rgb` of tests/golden/images/synth.py.
fn synth_rgb(height: u32, width: u32, seed: u32) -> RgbImage {
    let mut picture = RgbImage::new(width, height);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        for (c, value) in (0_u32..).zip(&mut pixel.0) {
            let ramp = (x * 255 / (width - 1).max(1) * (c + 1) + y * 255 / (height - 1).max(1) * (3 - c)) / 4;
            let check = if ((x >> 3) ^ (y >> 3) ^ c) & 1 == 1 { 96 } else { 0 };
            let places = [(x, 374_761_393), (y, 668_265_263), (c, 2_246_822_519), (seed, 3_266_489_917)];
            let mut hash = places.iter().fold(0u32, |h, (v, by)| h.wrapping_add(v.wrapping_mul(*by)));
            hash ^= hash >> 13;
            hash = hash.wrapping_mul(1_274_126_177);
            hash ^= hash >> 16;
            *value = (ramp + check + if hash & 7 == 0 { hash >> 24 } else { 0 }) as u8;
        }
    }
    picture
}

/// FNV-1a, as the golden files write it.
fn fnv1a(bytes: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// One question about pictures of given sizes.
#[derive(Debug)]
struct Pictures {
    question: String,
    asked: String,
    images: Vec<Arc<RgbImage>>,
}

impl Task for Pictures {
    fn name(&self) -> &'static str {
        "pictures"
    }
    fn version(&self) -> u32 {
        1
    }
    fn len(&self, _: Split) -> usize {
        self.images.len()
    }
    fn sample(&self, _: Split, index: usize) -> foveate_datasets::Result<Sample> {
        let (id, problem, answer) = (format!("p{index}"), self.question.clone(), "A".into());
        let images = vec![ImageRef::Rgb(self.images[index].clone())];
        Ok(Sample { id, problem, answer, choices: vec![], images, meta: serde_json::Map::new() })
    }
    fn prompt(&self, _: &Sample) -> String {
        self.asked.clone()
    }
    fn grade(&self, _: &Sample, response: &str) -> Grade {
        Grade::of(response.contains("\\boxed{A}"), response)
    }
}

fn source(golden: &Value, images: Vec<Arc<RgbImage>>) -> Source {
    let text = |key: &str| golden[key].as_str().unwrap().to_string();
    let task = Pictures { question: text("question"), asked: text("task"), images };
    Source::of(Box::new(task), Split::Train, None, 1).unwrap()
}

/// The script of the golden conversations, with the checkpoint's frame.
fn turns(golden: &Value, frame: &Value, policy: &LocalPolicy, max: usize) -> Turns {
    let said = |key: &str| -> &'static str { golden["script"][key].as_str().unwrap().to_string().leak() };
    let mut turns = Turns::new(&TurnsRecipe { max, ..TurnsRecipe::default() }, policy).unwrap();
    turns.protocol.script = Script {
        name: "golden",
        system: said("system"),
        first: said("first"),
        shown: said("shown"),
        again: said("again"),
        last: said("last"),
        more: " Where else?",
        full_stop: true,
    };
    let wanted: Frame = serde_json::from_value(frame.clone()).unwrap();
    assert_eq!(turns.protocol.frame, wanted);
    turns
}

fn said(ids: Vec<u32>, stop: Stop) -> Generated {
    let logp: Vec<f32> = (0..ids.len()).map(|at| -0.5 - at as f32).collect();
    let (logp_raw, logp_tempered, logp_sampled) = (logp.clone(), logp.clone(), logp);
    Generated { ids, logp_raw, logp_tempered, logp_sampled, stop }
}

fn rollout(episode: Episode, untrained: usize) -> Rollout {
    let Episode { ids, logp_tempered, heard, text, finished } = episode;
    let (grade, scored) = (Grade::of(true, text.clone()), Scored { total: 1.0, parts: vec![] });
    Rollout { ids, text, logp_tempered, finished, heard, untrained, grade, scored }
}

fn group(opened: &Opened<'_>, rollouts: Vec<Rollout>) -> Group {
    Group { sample: opened.sample.clone(), prompt: opened.prompt.clone(), views: vec![], rollouts }
}

fn pack(groups: &[Group]) -> micro::Micro {
    let credits: Vec<Vec<f64>> = groups.iter().map(|group| vec![1.0; group.rollouts.len()]).collect();
    let credited: Vec<_> = groups.iter().zip(&credits).map(|(g, c)| (g, &c[..])).collect();
    micro::pack(&credited, 1 << 20, false).unwrap().remove(0)
}

fn closest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn logp(policy: &LocalPolicy, pack: &Pack, temperature: f32) -> Vec<f32> {
    let scored = policy.model.token_logprobs(pack, temperature, None).unwrap();
    Tensor::to_vec1(&scored.logp_n).unwrap()
}

#[test]
fn a_scripted_rollout_is_what_transformers_makes_of_it() {
    let golden =
        &serde_json::from_slice::<Value>(&std::fs::read(golden("turns/talks.json")).unwrap()).unwrap();
    for (name, checkpoint) in golden["checkpoints"].as_object().unwrap() {
        let policy = LocalPolicy::load(&self::golden(&format!("model/checkpoints/{name}"))).unwrap();
        let turns = turns(golden, &checkpoint["frame"], &policy, 2);
        for (case, want) in checkpoint["talks"].as_object().unwrap() {
            let place = format!("{name} {case}");
            let size = ids(&want["size"]);
            let source = source(golden, vec![Arc::new(synth_rgb(size[0], size[1], 5))]);
            let opened = turns.open(&policy, &source, &[0], |image, _| image.clone()).unwrap().remove(0);
            assert_eq!(opened.prompt.input_ids, ids(&want["prompt"]), "{place}: prompt");
            let cut = want["ending"] == "cut";
            let replies = [
                said(ids(&want["said"]), if cut { Stop::Length } else { Stop::Stop }),
                said(ids(&want["answer"]), Stop::Stop),
            ];
            let episode = turns.follow(&policy, &opened, &replies).unwrap();
            check(&policy, &opened, episode, &replies, want, &place);
        }
    }
}

/// One scripted rollout: box, crop, tokens, mask, positions, pack, log-probabilities.
fn check(
    policy: &LocalPolicy,
    opened: &Opened<'_>,
    episode: Episode,
    replies: &[Generated],
    want: &Value,
    place: &str,
) {
    let heard = &episode.heard[0];
    match &heard.region {
        Ok(region) => {
            assert_eq!(region.original.to_vec(), ids(&want["crop"]), "{place}: crop");
            let size = ids(&want["size"]);
            let part = foveate_vision::grounding::crop(&synth_rgb(size[0], size[1], 5), region);
            assert_eq!(Value::from(fnv1a(part.as_raw())), want["crop_rgb"], "{place}: pixels");
            let patches = policy.processor.images.patches(&part).unwrap();
            assert_eq!(patches, *heard.prompt.images[0], "{place}: patches");
        }
        Err(refusal) => {
            assert_eq!(refusal.name(), want["refused"], "{place}");
            assert!(Arc::ptr_eq(&heard.prompt.images[0], &opened.prompt.images[0]), "{place}: seen twice");
        }
    }
    assert_eq!(episode.finished, want["ending"] != "cut" || heard.region.is_ok(), "{place}");
    // What was sampled stays; only a closing token may be put in, and it has no sampler's log-probability.
    let one = heard.after;
    let put = episode.logp_tempered[one - 1].is_nan();
    assert_eq!(episode.ids[..one - 1], replies[0].ids[..one - 1], "{place}");
    assert_eq!(episode.logp_tempered[..one - 1], replies[0].logp_tempered[..one - 1], "{place}");
    assert_eq!(put, replies[0].ids.get(one - 1) != episode.ids.get(one - 1), "{place}");
    assert_eq!(episode.ids[one..], replies[1].ids, "{place}");

    let rollout = rollout(episode, 0);
    let continuation = rollout.continuation();
    assert_eq!(continuation.ids, ids(&want["ids"]), "{place}: ids");
    let runs: Vec<Vec<usize>> = continuation.scored.iter().map(|run| vec![run.start, run.end]).collect();
    assert_eq!(Value::from(runs), want["scored"], "{place}: mask");
    let grids: Vec<_> = opened.prompt.images.iter().chain(&continuation.images).map(|i| i.grid_thw).collect();
    assert_eq!(
        Value::from(grids.iter().map(|g| Value::from(g.to_vec())).collect::<Vec<_>>()),
        want["grids"],
        "{place}"
    );

    let pack = pack(&[group(opened, vec![rollout.clone()])]).pack;
    let all = [&opened.prompt.input_ids[..], &continuation.ids].concat();
    let n = all.len() - 1;
    assert_eq!(pack.ids_t, all[..n], "{place}: the last token does not run");
    let segments: Vec<_> = pack.segments.iter().map(|s| (s.start, s.len, s.parent)).collect();
    let begin = opened.prompt.input_ids.len();
    assert_eq!(segments, [(0, begin, None), (begin, n - begin, Some(0))], "{place}: segments");
    let scored: Vec<usize> = continuation.scored.iter().cloned().flatten().map(|at| begin + at).collect();
    let predictors: Vec<usize> = pack.predictors_n.iter().map(|&p| p as usize + 1).collect();
    assert_eq!(predictors, scored, "{place}: each token is predicted by the one before");
    assert_eq!(pack.targets_n, rollout.ids, "{place}: targets");
    let positions = policy.model.trace(&pack).unwrap().positions;
    let want_positions = want["positions"].as_array().unwrap();
    for (at, (found, want)) in positions.iter().zip(want_positions).enumerate() {
        assert_eq!(found.to_vec(), ids(want), "{place}: position of token {at}");
    }
    if let Some(list) = want["logp"].as_array() {
        let want: Vec<f32> = list.iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let gap = closest(&logp(policy, &pack, 1.0), &want);
        assert!(gap < 2e-4, "{place}: {gap} from transformers");
    }
}

/// Every checkpoint's model answering for itself: of `max` turns, three rollouts of two pictures.
fn sampled(max: usize, test: impl Fn(&LocalPolicy, &Turns, &[Opened<'_>], &Sampling, &str)) {
    let golden =
        &serde_json::from_slice::<Value>(&std::fs::read(golden("turns/talks.json")).unwrap()).unwrap();
    for (name, checkpoint) in golden["checkpoints"].as_object().unwrap() {
        let policy = LocalPolicy::load(&self::golden(&format!("model/checkpoints/{name}"))).unwrap();
        let turns = turns(golden, &checkpoint["frame"], &policy, max);
        let images = vec![Arc::new(synth_rgb(241, 322, 1)), Arc::new(synth_rgb(48, 64, 2))];
        let source = source(golden, images);
        let opened = turns.open(&policy, &source, &[0, 1], |image, _| image.clone()).unwrap();
        let stop_ids = [&policy.generation.eos_token_ids[..], &(0..120).collect::<Vec<u32>>()].concat();
        let tokenizer_size = policy.processor.tokenizer.size();
        let sampling =
            Sampling { max_tokens: 9, temperature: 0.8, stop_ids, tokenizer_size, ..Sampling::default() };
        test(&policy, &turns, &opened, &sampling, name);
    }
}

#[test]
fn the_trainers_log_probabilities_are_the_samplers_in_every_turn() {
    for max in [2, 3] {
        sampled(max, |policy, turns, opened, sampling, name| {
            let episodes = turns.answer(policy, opened, (3, &[5, 6]), sampling).unwrap();
            let groups: Vec<Group> = opened
                .iter()
                .zip(episodes)
                .map(|(opened, all)| group(opened, all.into_iter().map(|e| rollout(e, 0)).collect()))
                .collect();
            let micro = pack(&groups);
            let logp = logp(policy, &micro.pack, 0.8);
            let (mut compared, mut put, mut worst) = (0, 0, 0.0f32);
            for (ours, theirs) in logp.iter().zip(&micro.sampled_n) {
                match theirs.is_nan() {
                    true => put += 1,
                    false => (compared, worst) = (compared + 1, worst.max((ours - theirs).abs())),
                }
            }
            assert!(worst <= 1e-5, "{name}: {worst:e} apart in {max} turns");
            assert!(compared >= 6 * max && put >= 1, "{name}: {compared} compared, {put} put in");
            let rollouts = groups.iter().flat_map(|group| &group.rollouts);
            assert!(rollouts.clone().all(|r| r.heard.len() == max - 1), "{name}");
            assert!(rollouts.into_iter().all(|r| r.ids.len() == r.logp_tempered.len()), "{name}");
        });
    }
}

#[test]
fn a_turn_that_gives_no_gradient_is_not_counted() {
    sampled(2, |policy, turns, opened, sampling, name| {
        let answers = turns.answer(policy, opened, (2, &[5, 6]), sampling).unwrap();
        let mut last = turns.clone();
        last.train = Trained::Last;
        let untrained = |turns: &Turns| -> Vec<bool> {
            let rollouts = answers[0].iter().map(|e| rollout(e.clone(), turns.untrained(&e.heard)));
            pack(&[group(&opened[0], rollouts.collect())]).sequences.counted().to_vec()
        };
        assert!(untrained(turns).iter().all(|counted| *counted), "{name}");
        let want: Vec<bool> =
            answers[0].iter().flat_map(|e| (0..e.ids.len()).map(|at| at >= e.heard[0].after)).collect();
        assert_eq!(untrained(&last), want, "{name}");
    });
}

#[test]
fn a_conversation_is_about_one_picture_and_has_its_turns() {
    let dir = golden("model/checkpoints/qwen2_5_vl");
    let policy = LocalPolicy::load(&dir).unwrap();
    let golden = json!({"question": "?", "task": "?"});
    let source = source(&golden, vec![Arc::new(synth_rgb(48, 64, 1))]);
    let turns = Turns::new(&TurnsRecipe::default(), &policy).unwrap();
    let opened = turns.open(&policy, &source, &[0], |image, _| image.clone()).unwrap().remove(0);
    let one = said(vec![40, 41], Stop::Length);
    for wrong in [1, 3] {
        let error = turns.follow(&policy, &opened, &vec![one.clone(); wrong]).unwrap_err().to_string();
        assert!(error.contains("turns") && error.contains(&wrong.to_string()), "{error}");
    }
    let error = turns.given(&policy, &opened).unwrap_err().to_string();
    assert!(error.contains("meta.targets") && error.contains("p0"), "{error}");
    let unknown = TurnsRecipe { script: "mgp".into(), ..TurnsRecipe::default() };
    assert!(Turns::new(&unknown, &policy).unwrap_err().is_input());
}

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
