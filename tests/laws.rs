//! What must hold for every family; a new entry of `FAMILIES` is tested by being there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use candle_core::Tensor;
use foveate_vision::generate::{Conversations, Generated, Heard, Request, Sampling, generate};
use foveate_vision::models::{Part, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::pack::Continuation;
use foveate_vision::processor::Prompt;

#[path = "support/packs.rs"]
mod packs;

use packs::*;

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
fn checkpointing_changes_no_gradient_of_the_composition() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        model.set_composed(true);
        for parts in [&Part::ALL[..], &[Part::Text], &[Part::Merger]] {
            model.set_trainable(parts);
            let (kept, recomputed) = (GradSink::default(), GradSink::default());
            model.set_checkpointing(false);
            let values = scored(model, &pack, 0, &kept);
            model.set_checkpointing(true);
            assert!(values == scored(model, &pack, 0, &recomputed), "{family}");
            assert_gradients(&gradients(model, &kept), &gradients(model, &recomputed), family);
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
        let each = Part::ALL.iter().map(std::slice::from_ref);
        for parts in std::iter::once(&Part::ALL[..]).chain(each) {
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
fn decoding_by_compositions_equals_decoding() {
    every_family(|model, family| {
        let requests = requests(model);
        let said = |model: &VisionLanguageModel| {
            let talk = talk(model, &requests, 0);
            let all: Vec<Generated> = talk.said.into_iter().flatten().flatten().collect();
            let ids: Vec<Vec<u32>> = all.iter().map(|said| said.ids.clone()).collect();
            (ids, all.iter().flat_map(|said| said.logp_raw.clone()).collect::<Vec<_>>())
        };
        let (kept, kept_logp) = said(model);
        model.set_composed(true);
        let (composed, composed_logp) = said(model);
        assert_eq!(kept, composed, "{family}");
        assert_close(&kept_logp, &composed_logp, 1e-5, family);
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
