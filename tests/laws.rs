//! What must hold for every family; a new entry of `FAMILIES` is tested by being there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use candle_core::Tensor;
use foveate_vision::config::FAMILIES;
use foveate_vision::generate::{Conversations, Generated, Heard, Request, Sampling, generate};
use foveate_vision::images::Patches;
use foveate_vision::models::{Part, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::pack::{Continuation, Pack, PackBuilder};
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

fn answer(seed: usize, len: usize) -> Continuation {
    Continuation::answer(&completion(seed, len))
}

/// What is read between two answers: text, the images, text.
fn between(model: &VisionLanguageModel, images: &[Arc<Patches>], seed: usize) -> Prompt {
    (*prompt(model, images, seed)).clone()
}

/// Answers of `lens` tokens with turns that show `images` between them, and unscored tokens behind the last.
fn conversation(
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
fn groups(model: &VisionLanguageModel) -> Vec<(Arc<Prompt>, Vec<Continuation>)> {
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

fn pack(groups: &[(Arc<Prompt>, Vec<Continuation>)]) -> Pack {
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

/// Within `tolerance`, as a share of values above 1: a log-probability of -20 has 2e-6 between neighbours in
/// f32, and how wide the registers are decides the order of sums.
fn assert_close(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f32::max);
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
                let range = first..first + own_logp.len();
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

/// The divergence of the groups' tokens from those of the same groups about other images, weighed unlike.
fn diverged(model: &VisionLanguageModel, learns: [bool; 2], sink: &GradSink) -> Vec<f32> {
    let clean = vec![(prompt(model, &[image(model, 4, 6, 1)], 14), vec![answer(50, 5), answer(51, 3)])];
    let view = vec![(prompt(model, &[image(model, 4, 6, 9)], 14), clean[0].1.clone())];
    let score = |groups: &[_]| model.token_logprobs(&pack(groups), 0.8, Some(sink)).unwrap();
    let (p, q) = (score(&clean), score(&view));
    let kl_n = model.token_divergences(&p, (model, &q), learns, 0.8, Some(sink)).unwrap();
    let weights: Vec<f32> = (0..8).map(|i| 0.3 + 0.2 * i as f32).collect();
    let weights = Tensor::from_vec(weights, 8, &candle_core::Device::Cpu).unwrap();
    // Both passes are in the graph whatever learns, so that every weight has a gradient.
    let ties = ((p.logp_n.sum_all().unwrap() + q.logp_n.sum_all().unwrap()).unwrap() * 0.01).unwrap();
    let loss = ((&kl_n * weights).unwrap().sum_all().unwrap() + ties).unwrap();
    model.backward(&loss, sink).unwrap();
    kl_n.to_vec1().unwrap()
}

#[test]
fn the_divergence_of_two_images_equals_its_composition() {
    every_family(|model, family| {
        for learns in [[true, true], [true, false], [false, true]] {
            let (fast, composed) = (GradSink::default(), GradSink::default());
            let values = diverged(model, learns, &fast);
            assert!(values.iter().all(|kl| *kl > 0.0), "{family}: {values:?}");
            model.set_composed(true);
            assert_close(&values, &diverged(model, learns, &composed), 2e-5, family);
            model.set_composed(false);
            assert_gradients(&gradients(model, &fast), &gradients(model, &composed), family);
        }
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

#[test]
fn a_gradient_that_is_told_to_be_whole_grows_no_more() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        let passes: [&dyn Fn(&GradSink); 2] =
            [&|sink| drop(scored(model, &pack, 0, sink)), &|sink| drop(diverged(model, [true, true], sink))];
        for pass in passes {
            let (plain, watched) = (GradSink::default(), GradSink::default());
            pass(&plain);
            let (told, news) = channel();
            watched.watch(told);
            // Each is taken out as soon as it is told of, while the pass goes on.
            let taken: BTreeMap<String, Vec<f32>> = std::thread::scope(|scope| {
                let take = |id| {
                    let parameter = model.parameters().iter().find(|p| p.var().as_tensor().id() == id)?;
                    let gradient = watched.take(parameter.var())?;
                    Some((parameter.name.clone(), gradient.to_vec()))
                };
                let taker = scope.spawn(move || news.into_iter().filter_map(take).collect());
                pass(&watched);
                watched.unwatch();
                taker.join().unwrap()
            });
            assert!(taken == gradients(model, &plain), "{family}");
            assert!(gradients(model, &watched).is_empty(), "{family}");
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
                (
                    request.prompt.clone(),
                    group.iter().map(|rollout| Continuation::answer(&rollout.ids)).collect(),
                )
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

/// Two turns of every request's rollouts; between them some keep all they said, some a part, some see the
/// prompt's image again, one is closed.
struct Talk {
    said: [Vec<Option<Generated>>; 2],
    heard: Vec<Option<Heard>>,
    /// What followed each prompt, request by request.
    continuations: Vec<Vec<Continuation>>,
}

fn talk(model: &VisionLanguageModel, requests: &[Request], first: usize) -> Talk {
    let mut talks = Conversations::begin(model, requests).unwrap();
    let one = talks.answer(&sampling()).unwrap();
    let mut at = 0;
    let mut heard = Vec::new();
    for (index, request) in (first..).zip(requests) {
        for rollout in 0..request.n {
            let said = one[at].as_ref().unwrap();
            at += 1;
            let (keep, again) =
                (said.ids.len().div_ceil(1 + rollout), request.prompt.images.first().cloned());
            let images = match (rollout, again) {
                (0, _) => vec![image(model, 4, 8, 40 + index)],
                (1, Some(image)) => vec![image],
                _ => vec![],
            };
            let turn = Arc::new(between(model, &images, 60 + index + rollout));
            heard.push((index != 1 || rollout != 2).then_some(Heard { keep, turn }));
        }
    }
    talks.hear(&heard).unwrap();
    let two = talks.close(&sampling()).unwrap();
    let mut continuations = Vec::new();
    let mut at = 0;
    for request in requests {
        let own = at..at + request.n;
        at += request.n;
        continuations.push(own.map(|at| continued(&one[at], &heard[at], &two[at])).collect());
    }
    Talk { said: [one, two], heard, continuations }
}

fn continued(one: &Option<Generated>, heard: &Option<Heard>, two: &Option<Generated>) -> Continuation {
    let one = &one.as_ref().unwrap().ids;
    let (Some(heard), Some(two)) = (heard, two) else { return Continuation::answer(one) };
    let ids = [&one[..heard.keep], &heard.turn.input_ids, &two.ids].concat();
    let scored = vec![0..heard.keep, ids.len() - two.ids.len()..ids.len()];
    Continuation { ids, scored, images: heard.turn.images.clone() }
}

#[test]
fn decoding_equals_scoring_over_two_turns() {
    every_family(|model, family| {
        let requests = requests(model);
        let talk = talk(model, &requests, 0);
        let prompts = requests.iter().map(|request| request.prompt.clone());
        let pack = pack(&prompts.zip(talk.continuations).collect::<Vec<_>>());
        let mut sampled = Vec::new();
        for ((one, two), heard) in talk.said[0].iter().zip(&talk.said[1]).zip(&talk.heard) {
            let one = one.as_ref().unwrap();
            let keep = heard.as_ref().map_or(one.ids.len(), |heard| heard.keep);
            sampled.extend_from_slice(&one.logp_tempered[..keep]);
            sampled.extend(two.iter().flat_map(|two| &two.logp_tempered));
            assert_eq!(heard.is_some(), two.is_some(), "{family}");
        }
        let scored: Vec<f32> = model.token_logprobs(&pack, 0.9, None).unwrap().logp_n.to_vec1().unwrap();
        assert_close(&sampled, &scored, 1e-5, family);
    });
}

#[test]
fn a_conversation_does_not_know_its_batch() {
    every_family(|model, family| {
        let requests = requests(model);
        let together = talk(model, &requests, 0);
        let mut first = 0;
        for (index, request) in requests.iter().enumerate() {
            let alone = talk(model, std::slice::from_ref(request), index);
            for turn in 0..2 {
                let own = &together.said[turn][first..first + request.n];
                assert_eq!(alone.said[turn], own, "{family} request {index} turn {turn}");
            }
            first += request.n;
        }
        // Another answer than in a single turn, from the same first turn.
        let single = generate(model, &requests, &sampling()).unwrap();
        let firsts: Vec<_> = together.said[0].iter().flatten().cloned().collect();
        assert_eq!(single.concat(), firsts, "{family}");
    });
}

#[test]
fn what_is_heard_must_fit() {
    every_family(|model, family| {
        let requests = &requests(model)[..1];
        let image = image(model, 4, 8, 3);
        let turn = Arc::new(between(model, std::slice::from_ref(&image), 5));
        let wrong = Arc::new(Prompt { images: vec![], ..(*turn).clone() });
        let empty = Arc::new(Prompt { input_ids: vec![], images: vec![] });
        for (heard, expected) in [
            (vec![None], "turns"),
            (vec![Some(Heard { keep: 99, turn: turn.clone() }), None, None], "at most"),
            (vec![Some(Heard { keep: 1, turn: empty }), None, None], "follows"),
            (vec![Some(Heard { keep: 1, turn: wrong }), None, None], "image tokens"),
        ] {
            let mut talks = Conversations::begin(model, requests).unwrap();
            talks.answer(&sampling()).unwrap();
            let error = talks.hear(&heard).unwrap_err();
            assert!(error.is_input() && error.to_string().contains(expected), "{family}: {error}");
        }
        let mut talks = Conversations::begin(model, requests).unwrap();
        talks.answer(&sampling()).unwrap();
        talks.hear(&[None, None, None]).unwrap();
        let error = talks.hear(&[Some(Heard { keep: 0, turn }), None, None]).unwrap_err();
        assert!(error.to_string().contains("closed"), "{family}: {error}");
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
