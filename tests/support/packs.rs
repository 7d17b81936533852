//! Small models of every family, and packs in which everything occurs that a pack may hold.
#![allow(missing_docs, dead_code)] // helpers of several tests, none of which needs all

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use foveate_vision::config::FAMILIES;
use foveate_vision::generate::{Request, Sampling};
use foveate_vision::images::Patches;
use foveate_vision::models::{Placement, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::pack::{Continuation, Pack, PackBuilder};
use foveate_vision::processor::Prompt;
use foveate_vision::tiny::{self, TinySpec};

pub const SEED: u64 = 7;

/// Calls `law` with a small model of every family.
pub fn every_family(law: impl Fn(&mut VisionLanguageModel, &str)) {
    every_family_on(&Placement::default(), |_, model, family| law(model, family));
}

/// Calls `law` with a small model of every family, on the CPU in f32 and at `placement`.
pub fn every_family_on(
    placement: &Placement,
    law: impl Fn(&mut VisionLanguageModel, &mut VisionLanguageModel, &str),
) {
    for entry in &FAMILIES {
        let dir = tempfile::tempdir().unwrap();
        tiny::write(dir.path(), &TinySpec::laws(entry.family)).unwrap();
        let mut here = VisionLanguageModel::load(dir.path()).unwrap();
        let mut there = VisionLanguageModel::load_on(dir.path(), placement).unwrap();
        law(&mut here, &mut there, entry.architecture);
    }
}

pub fn hash(a: usize, b: usize) -> usize {
    (a.wrapping_mul(0x9e37_79b9) ^ b.wrapping_mul(0x85eb_ca6b)) >> 3
}

pub fn image(model: &VisionLanguageModel, height: usize, width: usize, seed: usize) -> Arc<Patches> {
    let vision = &model.config().vision;
    let patch_dim = vision.channels * vision.patch_size * vision.patch_size;
    let count = height * width * patch_dim;
    let values_np = (0..count).map(|i| (hash(i, seed) % 512) as f32 / 256.0 - 1.0).collect();
    Arc::new(Patches { values_np, grid_thw: [1, height, width], patch_dim })
}

/// Text, the images with their placeholders, text.
pub fn prompt(model: &VisionLanguageModel, images: &[Arc<Patches>], seed: usize) -> Arc<Prompt> {
    let config = model.config();
    let text = |from: usize, count: usize| (0..count).map(move |i| (hash(from + i, seed) % 200) as u32);
    let mut input_ids: Vec<u32> = text(0, 3).collect();
    for (index, image) in images.iter().enumerate() {
        input_ids.push(config.vision_start_token_id);
        input_ids.extend(vec![config.image_token_id; image.image_tokens(config.vision.merge_size)]);
        input_ids.push(config.vision_end_token_id);
        input_ids.extend(text(10 * index + 5, 2));
    }
    input_ids.extend(text(100, 4 + seed % 3));
    Arc::new(Prompt { input_ids, images: images.to_vec() })
}

pub fn completion(seed: usize, len: usize) -> Vec<u32> {
    (0..len).map(|i| (hash(i + 1000, seed) % 200) as u32).collect()
}

pub fn answer(seed: usize, len: usize) -> Continuation {
    Continuation::answer(&completion(seed, len))
}

/// What is read between two answers: text, the images, text.
pub fn between(model: &VisionLanguageModel, images: &[Arc<Patches>], seed: usize) -> Prompt {
    (*prompt(model, images, seed)).clone()
}

/// Answers of `lens` tokens with turns that show `images` between them, and unscored tokens behind the last.
pub fn conversation(
    model: &VisionLanguageModel,
    lens: &[usize],
    images: &[Arc<Patches>],
    seed: usize,
) -> Continuation {
    let mut all = Continuation::default();
    for (turn, &len) in lens.iter().enumerate() {
        all.scored.push(all.ids.len()..all.ids.len() + len);
        all.ids.extend(completion(seed + turn, len));
        let shown = images.get(turn).map(std::slice::from_ref).unwrap_or_default();
        if turn + 1 < lens.len() {
            all.ids.extend(between(model, shown, seed + turn).input_ids);
            all.images.extend_from_slice(shown);
        }
    }
    all.ids.extend(completion(seed, 2));
    all
}

/// Groups of unlike prompts (one image, two, none, one shared with another prompt) and what continues them:
/// answers, and conversations with further images (a new one, the prompt's own again, none).
pub fn groups(model: &VisionLanguageModel) -> Vec<(Arc<Prompt>, Vec<Continuation>)> {
    let (small, wide) = (image(model, 4, 6, 1), image(model, 10, 12, 2));
    let crop = image(model, 6, 4, 3);
    let about = prompt(model, std::slice::from_ref(&small), 14);
    let question = |prompt: &Arc<Prompt>, len: usize| {
        let mut asked = (**prompt).clone();
        asked.input_ids.extend(completion(80 + len, len));
        Arc::new(asked)
    };
    let completions = |seed: usize, lens: &[usize]| -> Vec<Continuation> {
        lens.iter().enumerate().map(|(i, &len)| answer(seed + i, len)).collect()
    };
    let talk = |lens: &[usize], images: &[Arc<Patches>], seed| conversation(model, lens, images, seed);
    vec![
        (
            prompt(model, std::slice::from_ref(&wide), 11),
            [completions(20, &[5, 1, 9]), vec![talk(&[4, 3], std::slice::from_ref(&crop), 24)]].concat(),
        ),
        (prompt(model, &[small.clone(), wide.clone()], 12), completions(30, &[4, 4])),
        (prompt(model, &[], 13), completions(40, &[7])),
        // Three questions about one image: they share a beginning, and one is the beginning.
        (
            question(&about, 0),
            [
                completions(50, &[2, 6, 3, 8]),
                vec![talk(&[1, 2, 4], &[crop, small.clone()], 54), talk(&[2, 2], &[], 56)],
            ]
            .concat(),
        ),
        (question(&about, 3), [vec![talk(&[3, 1], &[small], 58)], completions(60, &[1, 5])].concat()),
        (question(&about, 7), completions(70, &[4])),
    ]
}

pub fn pack(groups: &[(Arc<Prompt>, Vec<Continuation>)]) -> Pack {
    let mut builder = PackBuilder::new();
    for (prompt, continuations) in groups {
        let root = builder.root(prompt).unwrap();
        for continuation in continuations {
            builder.continuation(root, continuation.clone()).unwrap();
        }
    }
    builder.build().unwrap()
}

/// Log-probabilities, entropies and all gradients of a loss that weighs every token differently; the
/// weights start at token `first` of the whole.
pub fn scored(
    model: &VisionLanguageModel,
    pack: &Pack,
    first: usize,
    sink: &GradSink,
) -> (Vec<f32>, Vec<f32>) {
    let out = model.token_logprobs(pack, 0.8, Some(sink)).unwrap();
    let n = pack.targets_n.len();
    let weights: Vec<f32> = (first..first + n).map(|i| (hash(i, 3) % 100) as f32 / 50.0 - 0.7).collect();
    let weights = Tensor::from_vec(weights, n, out.logp_n.device()).unwrap();
    let loss = (&out.logp_n * &weights).unwrap().sum_all().unwrap();
    let loss = (loss + (out.entropy_n.clone() * 0.3).unwrap().sum_all().unwrap()).unwrap();
    model.backward(&loss, sink).unwrap();
    (out.logp_n.to_vec1().unwrap(), out.entropy_n.to_vec1().unwrap())
}

pub fn gradients(model: &VisionLanguageModel, sink: &GradSink) -> BTreeMap<String, Vec<f32>> {
    let read = |parameter: &foveate_vision::models::Parameter| {
        sink.read(parameter.var(), |grad| (parameter.name.clone(), grad.to_vec()))
    };
    model.parameters().iter().filter_map(read).collect()
}

/// Within `tolerance`, as a share of values above 1: a log-probability of -20 has 2e-6 between neighbours in
/// f32, and how wide the registers are decides the order of sums.
pub fn assert_close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: {worst:e} > {tolerance:e}");
}

pub fn assert_gradients(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>, what: &str) {
    assert_gradients_within(a, b, 1e-5, what);
}

pub fn assert_gradients_within(
    a: &BTreeMap<String, Vec<f32>>,
    b: &BTreeMap<String, Vec<f32>>,
    tolerance: f64,
    what: &str,
) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    for (name, a) in a {
        let off = norm(&mut a.iter().zip(&b[name]).map(|(a, b)| a - b));
        let relative = off / norm(&mut a.iter().copied()).max(1e-9);
        assert!(relative <= tolerance, "{what}: gradient of {name} differs by {relative:e}");
    }
}

pub fn requests(model: &VisionLanguageModel) -> Vec<Request> {
    let prompts = groups(model).into_iter().map(|(prompt, _)| prompt);
    prompts.enumerate().map(|(i, prompt)| Request { prompt, n: 3, seed: SEED + i as u64 }).collect()
}

pub fn sampling() -> Sampling {
    // Some rollouts stop early, so that rows leave the batch at different steps.
    Sampling { max_tokens: 12, temperature: 0.9, stop_ids: (0..40).collect(), ..Sampling::default() }
}
