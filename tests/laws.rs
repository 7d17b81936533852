//! What must hold for every family; a new entry of `FAMILIES` is tested by being there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use foveate_vision::config::FAMILIES;
use foveate_vision::generate::{Generated, Request, Sampling, generate};
use foveate_vision::images::Patches;
use foveate_vision::models::{Part, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::pack::{Pack, PackBuilder};
use foveate_vision::processor::Prompt;
use foveate_vision::tiny::{self, TinySpec};

const SEED: u64 = 7;

/// Calls `law` with a small model of every family.
fn every_family(law: impl Fn(&mut VisionLanguageModel, &str)) {
    for entry in &FAMILIES {
        let dir = tempfile::tempdir().unwrap();
        tiny::write(dir.path(), &TinySpec::laws(entry.family)).unwrap();
        law(&mut VisionLanguageModel::load(dir.path()).unwrap(), entry.architecture);
    }
}

fn hash(a: usize, b: usize) -> usize {
    (a.wrapping_mul(0x9e37_79b9) ^ b.wrapping_mul(0x85eb_ca6b)) >> 3
}

fn image(model: &VisionLanguageModel, height: usize, width: usize, seed: usize) -> Arc<Patches> {
    let vision = &model.config().vision;
    let patch_dim = vision.channels * vision.patch_size * vision.patch_size;
    let count = height * width * patch_dim;
    let values_np = (0..count).map(|i| (hash(i, seed) % 512) as f32 / 256.0 - 1.0).collect();
    Arc::new(Patches { values_np, grid_thw: [1, height, width], patch_dim })
}

/// Text, the images with their placeholders, text.
fn prompt(model: &VisionLanguageModel, images: &[Arc<Patches>], seed: usize) -> Arc<Prompt> {
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

fn completion(seed: usize, len: usize) -> Vec<u32> {
    (0..len).map(|i| (hash(i + 1000, seed) % 200) as u32).collect()
}

/// Groups of unlike prompts (one image, two, none, one shared with another prompt) and their completions.
fn groups(model: &VisionLanguageModel) -> Vec<(Arc<Prompt>, Vec<Vec<u32>>)> {
    let (small, wide) = (image(model, 4, 6, 1), image(model, 10, 12, 2));
    let about = prompt(model, std::slice::from_ref(&small), 14);
    let question = |prompt: &Arc<Prompt>, len: usize| {
        let mut asked = (**prompt).clone();
        asked.input_ids.extend(completion(80 + len, len));
        Arc::new(asked)
    };
    let completions = |seed: usize, lens: &[usize]| -> Vec<Vec<u32>> {
        lens.iter().enumerate().map(|(i, &len)| completion(seed + i, len)).collect()
    };
    vec![
        (prompt(model, std::slice::from_ref(&wide), 11), completions(20, &[5, 1, 9])),
        (prompt(model, &[small.clone(), wide.clone()], 12), completions(30, &[4, 4])),
        (prompt(model, &[], 13), completions(40, &[7])),
        // Three questions about one image: they share a beginning, and one is the beginning.
        (question(&about, 0), completions(50, &[2, 6, 3, 8])),
        (question(&about, 3), completions(60, &[1, 5])),
        (question(&about, 7), completions(70, &[4])),
    ]
}

fn pack(groups: &[(Arc<Prompt>, Vec<Vec<u32>>)]) -> Pack {
    let mut builder = PackBuilder::new();
    for (prompt, completions) in groups {
        let root = builder.root(prompt).unwrap();
        for completion in completions {
            builder.completion(root, completion).unwrap();
        }
    }
    builder.build().unwrap()
}

/// Log-probabilities, entropies and all gradients of a loss that weighs every token differently; the
/// weights start at token `first` of the whole.
fn scored(model: &VisionLanguageModel, pack: &Pack, first: usize, sink: &GradSink) -> (Vec<f32>, Vec<f32>) {
    let out = model.token_logprobs(pack, 0.8, Some(sink)).unwrap();
    let n = pack.targets_n.len();
    let weights: Vec<f32> = (first..first + n).map(|i| (hash(i, 3) % 100) as f32 / 50.0 - 0.7).collect();
    let weights = Tensor::from_vec(weights, n, &candle_core::Device::Cpu).unwrap();
    let loss = (&out.logp_n * &weights).unwrap().sum_all().unwrap();
    let loss = (loss + (out.entropy_n.clone() * 0.3).unwrap().sum_all().unwrap()).unwrap();
    model.backward(&loss, sink).unwrap();
    (out.logp_n.to_vec1().unwrap(), out.entropy_n.to_vec1().unwrap())
}

fn gradients(model: &VisionLanguageModel, sink: &GradSink) -> BTreeMap<String, Vec<f32>> {
    let read = |parameter: &foveate_vision::models::Parameter| {
        sink.read(parameter.var(), |grad| (parameter.name.clone(), grad.to_vec()))
    };
    model.parameters().iter().filter_map(read).collect()
}

fn assert_close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: {worst:e} > {tolerance:e}");
}

fn assert_gradients(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>, what: &str) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{what}");
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    for (name, a) in a {
        let off = norm(&mut a.iter().zip(&b[name]).map(|(a, b)| a - b));
        let relative = off / norm(&mut a.iter().copied()).max(1e-9);
        assert!(relative <= 1e-5, "{what}: gradient of {name} differs by {relative:e}");
    }
}

#[test]
fn a_pack_equals_each_sequence_alone() {
    every_family(|model, family| {
        let groups = groups(model);
        let (whole, alone) = (GradSink::default(), GradSink::default());
        let (logp, entropy) = scored(model, &pack(&groups), 0, &whole);
        let mut first = 0;
        for (prompt, completions) in &groups {
            for completion in completions {
                let one = pack(&[(prompt.clone(), vec![completion.clone()])]);
                let (own_logp, own_entropy) = scored(model, &one, first, &alone);
                let range = first..first + completion.len();
                assert_close(&own_logp, &logp[range.clone()], 1e-5, family);
                assert_close(&own_entropy, &entropy[range.clone()], 1e-5, family);
                first = range.end;
            }
        }
        assert_gradients(&gradients(model, &whole), &gradients(model, &alone), family);
    });
}

#[test]
fn the_fast_path_equals_the_composition() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        let (fast, composed) = (GradSink::default(), GradSink::default());
        let (fast_logp, fast_entropy) = scored(model, &pack, 0, &fast);
        model.set_composed(true);
        let (logp, entropy) = scored(model, &pack, 0, &composed);
        // Other exponentials and other orders of sums than candle's: twice the tolerance of a pack.
        assert_close(&fast_logp, &logp, 2e-5, family);
        assert_close(&fast_entropy, &entropy, 2e-5, family);
        assert_gradients(&gradients(model, &fast), &gradients(model, &composed), family);
    });
}

#[test]
fn checkpointing_changes_nothing() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        let (kept, recomputed) = (GradSink::default(), GradSink::default());
        let values = scored(model, &pack, 0, &kept);
        model.set_checkpointing(true);
        assert!(values == scored(model, &pack, 0, &recomputed), "{family}");
        assert!(gradients(model, &kept) == gradients(model, &recomputed), "{family}");
    });
}

#[test]
fn threads_change_nothing() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let sink = GradSink::default();
            let values = pool.install(|| scored(model, &pack, 0, &sink));
            (values, gradients(model, &sink))
        };
        assert!(run(1) == run(3), "{family}");
    });
}

#[test]
fn every_parameter_learns_and_frozen_ones_cost_nothing() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        for parts in
            [&[Part::Vision, Part::Merger, Part::Text][..], &[Part::Vision], &[Part::Merger], &[Part::Text]]
        {
            model.set_trainable(parts);
            let sink = GradSink::default();
            scored(model, &pack, 0, &sink);
            for parameter in model.parameters() {
                let grad = sink.read(parameter.var(), |grad| grad.to_vec());
                assert_eq!(grad.is_some(), parameter.trainable(), "{family} {} {parts:?}", parameter.name);
                let Some(grad) = grad else { continue };
                assert!(grad.iter().all(|g| g.is_finite()), "{family} {}", parameter.name);
                assert!(grad.iter().any(|g| *g != 0.0), "{family} {} {parts:?}", parameter.name);
            }
        }
    });
}

fn requests(model: &VisionLanguageModel) -> Vec<Request> {
    let prompts = groups(model).into_iter().map(|(prompt, _)| prompt);
    prompts.enumerate().map(|(i, prompt)| Request { prompt, n: 3, seed: SEED + i as u64 }).collect()
}

fn sampling() -> Sampling {
    // Some rollouts stop early, so that rows leave the batch at different steps.
    Sampling { max_tokens: 12, temperature: 0.9, stop_ids: (0..40).collect(), ..Sampling::default() }
}

#[test]
fn decoding_equals_scoring() {
    every_family(|model, family| {
        let requests = requests(model);
        let rollouts = generate(model, &requests, &sampling()).unwrap();
        let groups: Vec<_> = requests
            .iter()
            .zip(&rollouts)
            .map(|(request, group)| {
                (request.prompt.clone(), group.iter().map(|rollout| rollout.ids.clone()).collect())
            })
            .collect();
        let pack = pack(&groups);
        let flat = |logp: fn(&Generated) -> &Vec<f32>| -> Vec<f32> {
            rollouts.iter().flatten().flat_map(|rollout| logp(rollout).clone()).collect()
        };
        let score = |temperature| -> Vec<f32> {
            model.token_logprobs(&pack, temperature, None).unwrap().logp_n.to_vec1().unwrap()
        };
        assert_close(&flat(|rollout| &rollout.logp_raw), &score(1.0), 2e-5, family);
        assert_close(&flat(|rollout| &rollout.logp_tempered), &score(0.9), 2e-5, family);
        let lens: Vec<usize> = rollouts.iter().flatten().map(|rollout| rollout.ids.len()).collect();
        assert!(lens.iter().any(|&len| len < 12) && lens.iter().any(|&len| len > 1), "{family} {lens:?}");
    });
}

#[test]
fn a_rollout_does_not_know_its_batch() {
    every_family(|model, family| {
        let requests = requests(model);
        let together = generate(model, &requests, &sampling()).unwrap();
        for (request, group) in requests.iter().zip(&together) {
            let alone = generate(model, std::slice::from_ref(request), &sampling()).unwrap();
            assert_eq!(&alone[0], group, "{family}");
            let first = Request { n: 1, ..request.clone() };
            assert_eq!(generate(model, &[first], &sampling()).unwrap()[0][0], group[0], "{family}");
        }
        let other = Request { seed: SEED + 100, ..requests[0].clone() };
        assert_ne!(generate(model, &[other], &sampling()).unwrap()[0], together[0], "{family}");
    });
}

#[test]
fn placeholders_and_unknown_ids_are_never_drawn() {
    every_family(|model, family| {
        let config = model.config();
        let hot = Sampling {
            max_tokens: 40,
            temperature: 50.0,
            tokenizer_size: config.text.vocab_size - 20,
            ..Sampling::default()
        };
        let rollouts = generate(model, &requests(model), &hot).unwrap();
        for id in rollouts.iter().flatten().flat_map(|rollout| &rollout.ids) {
            assert!(*id != config.image_token_id && *id != config.video_token_id, "{family}");
            assert!((*id as usize) < hot.tokenizer_size, "{family} drew {id}");
        }
    });
}

#[test]
fn truncation_keeps_the_likeliest() {
    every_family(|model, family| {
        let base = Sampling { max_tokens: 6, ..Sampling::default() };
        let greedy =
            generate(model, &requests(model), &Sampling { temperature: 0.0, ..base.clone() }).unwrap();
        for settings in [
            Sampling { top_k: 1, ..base.clone() },
            Sampling { top_p: 1e-6, ..base.clone() },
            Sampling { min_p: 1.0, ..base.clone() },
        ] {
            let drawn = generate(model, &requests(model), &settings).unwrap();
            let ids = |groups: &[Vec<Generated>]| -> Vec<Vec<u32>> {
                groups.iter().flatten().map(|rollout| rollout.ids.clone()).collect()
            };
            assert_eq!(ids(&drawn), ids(&greedy), "{family} {settings:?}");
            let certain = drawn.iter().flatten().flat_map(|rollout| &rollout.logp_sampled);
            certain.for_each(|logp| assert!(logp.abs() < 1e-6, "{family} {logp}"));
        }
    });
}
