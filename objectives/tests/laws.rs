//! What must hold for every row of every table; a new row is tested by being there.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{Device, Tensor, Var};
use foveate_objectives::advantage::ADVANTAGES;
use foveate_objectives::correction::CORRECTIONS;
use foveate_objectives::group_weight::GROUP_WEIGHTS;
use foveate_objectives::ratio::RATIOS;
use foveate_objectives::reduction::REDUCTIONS;
use foveate_objectives::surrogate::SURROGATES;
use foveate_objectives::terms::TERMS;
use foveate_objectives::{
    Batch, Branch, Entry, Error, Named, Objective, ObjectiveSpec, Outcome, Place, Sequences, Signal,
    TermSpec, Totals,
};
use std::collections::BTreeMap;
use std::ops::Range;

const N: usize = 9;
const LOGP: [f64; N] = [-0.5, -1.2, -0.1, -2.0, -0.7, -0.3, -0.9, -1.4, -0.2];
const OLD: [f64; N] = [-0.6, -1.0, -0.1, -1.5, -0.9, -0.4, -1.6, -1.3, -0.2];
/// Two ratios over 2, one token that nobody sampled.
const SAMPLED: [f64; N] = [-0.7, -2.1, -0.1, -1.1, -0.9, f64::NAN, -2.6, -1.2, -0.9];
const REFERENCE: [f64; N] = [-0.4, -1.1, -0.2, -1.8, -0.6, -0.1, -0.8, -1.7, -0.3];
const ADVANTAGE: [f64; N] = [1., 1., 1., -0.5, -0.5, -0.5, -0.5, 0.7, 0.7];
const COUNTED: [bool; N] = [true, true, false, true, false, true, true, true, false];
const CORRECT: [bool; 3] = [true, false, true];
const RANGES: [Range<usize>; 3] = [0..3, 3..7, 7..9];

/// The mini-batch as one micro-batch.
const WHOLE: [Range<usize>; 1] = [const { 0..3 }];

fn tensor(x_n: &[f64]) -> Tensor {
    Tensor::new(x_n, &Device::Cpu).unwrap()
}

/// The sequences `rows` of the batch above, as a micro-batch of its own. Signals with a gradient follow
/// `logp`: they are made by the same weights.
fn micro(logp: &Tensor, rows: Range<usize>) -> Batch {
    let tokens = RANGES[rows.start].start..RANGES[rows.end - 1].end;
    let cut = |x: &[f64]| tensor(&x[tokens.clone()]);
    let logp_n = logp.narrow(0, tokens.start, tokens.len()).unwrap();
    let shift = |r: &Range<usize>| r.start - tokens.start..r.end - tokens.start;
    let sequences = Sequences::new(
        RANGES[rows.clone()].iter().map(shift).collect(),
        COUNTED[tokens.clone()].to_vec(),
        CORRECT[rows].to_vec(),
    );
    let view = (&logp_n * 1.3).unwrap();
    let signals = [
        (Signal::Reference, cut(&REFERENCE)),
        (Signal::Sampled, cut(&SAMPLED)),
        (Signal::Entropy, logp_n.sqr().unwrap()),
        (Signal::View("mask".into()), view.clone()),
        (Signal::View("noise".into()), ((&logp_n * 0.8).unwrap() - 0.3).unwrap()),
        (Signal::OldView("mask".into()), cut(&OLD)),
        (Signal::ViewEntropy("mask".into()), view.sqr().unwrap()),
        (Signal::ReferenceDivergence, (&logp_n * 0.7).unwrap().sqr().unwrap()),
        (Signal::ViewDivergence("mask".into(), Branch::View), (&view * 0.4).unwrap().sqr().unwrap()),
    ];
    Batch {
        logp_n,
        old_n: Some(cut(&OLD)),
        advantage_n: cut(&ADVANTAGE),
        sequences: sequences.unwrap(),
        signals: BTreeMap::from(signals),
    }
}

fn whole(logp: &Tensor) -> Batch {
    micro(logp, 0..3)
}

fn settings(name: &str) -> Named {
    match name {
        "fixed" => Named::new(name).with("length", 8),
        // Both branches: with one of them constant the slope of the value is not the gradient.
        "view-kl" => Named::new(name).with("views", vec!["mask", "noise"]).with("through", "both"),
        "view-entropy" => Named::new(name).with("view", "mask").with("gradient", true),
        "view-policy" => Named::new(name).with("view", "mask"),
        _ => Named::new(name),
    }
}

/// Every row of [`TERMS`] with its settings, and rows with other settings that change what they compute.
fn terms() -> Vec<Named> {
    let masked = |key: &str, value: serde_json::Value| {
        Named::new("view-kl").with("views", vec!["mask"]).with("through", "both").with(key, value)
    };
    let view_kl = Named::new("view-kl").with("views", vec!["mask"]);
    let mut terms: Vec<_> = TERMS.iter().map(|row| settings(row.name)).collect();
    terms.extend([
        masked("top_p", 0.5.into()),
        masked("cap", 0.02.into()),
        view_kl.clone().with("estimator", "full").with("through", "view"),
        view_kl.with("fidelity", "paper"),
        Named::new("reference-kl").with("estimator", "full"),
        Named::new("reference-kl").with("bias_correction", true),
        Named::new("entropy").with("kind", "sampled"),
    ]);
    terms
}

/// Every surrogate, ratio and reduction without terms, and every term under the default objective.
fn objectives() -> Vec<(String, Objective)> {
    let mut all = vec![];
    for surrogate in SURROGATES {
        for ratio in RATIOS {
            for reduction in REDUCTIONS {
                let spec = ObjectiveSpec {
                    surrogate: Named::new(surrogate.name),
                    ratio: Named::new(ratio.name),
                    reduction: settings(reduction.name),
                    ..Default::default()
                };
                let name = format!("{}/{}/{}", surrogate.name, ratio.name, reduction.name);
                all.push((name, Objective::new(&spec, &[]).unwrap()));
            }
        }
    }
    for correction in CORRECTIONS {
        let correction = Some(Named::new(correction.name).with("low", 0.8));
        let name = correction.as_ref().unwrap().name.clone();
        all.push((name, Objective::new(&ObjectiveSpec { correction, ..Default::default() }, &[]).unwrap()));
    }
    for term in terms() {
        let name = format!("{}/{}", term.name, serde_json::to_string(&term.settings).unwrap());
        let spec = TermSpec::new(term, 0.3);
        all.push((name, Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap()));
    }
    all
}

fn value(objective: &Objective, logp: &[f64]) -> f64 {
    let batch = whole(&tensor(logp));
    let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
    loss.total.to_scalar().unwrap()
}

fn gradient(objective: &Objective, name: &str, splits: &[Range<usize>]) -> Vec<f64> {
    let var = Var::from_tensor(&tensor(&LOGP)).unwrap();
    let batches: Vec<_> = splits.iter().map(|rows| micro(&var, rows.clone())).collect();
    let totals: Totals = batches.iter().map(|b| &b.sequences).collect();
    let mut sum = vec![0.0; N];
    for batch in &batches {
        let grads = objective.loss(batch, &totals).unwrap().total.backward().unwrap();
        let grad = grads.get(&var).unwrap_or_else(|| panic!("{name} cuts the graph"));
        sum.iter_mut().zip(grad.to_vec1::<f64>().unwrap()).for_each(|(s, g)| *s += g);
    }
    sum
}

#[test]
fn gradients_are_the_slopes() {
    for (name, objective) in objectives() {
        // CISPO's weight is a constant by definition, and k3+ has another estimator's gradient: the slope of
        // the value is another function's.
        if name.starts_with("cispo") || name.contains("paper") {
            continue;
        }
        for (n, grad) in gradient(&objective, &name, &WHOLE).iter().enumerate() {
            let (mut hi, mut lo) = (LOGP, LOGP);
            hi[n] += 1e-6;
            lo[n] -= 1e-6;
            let slope = (value(&objective, &hi) - value(&objective, &lo)) / 2e-6;
            assert!((grad - slope).abs() < 1e-8, "{name}[{n}]: gradient {grad}, slope {slope}");
        }
    }
}

#[test]
fn every_objective_moves_something() {
    for (name, objective) in objectives() {
        assert!(gradient(&objective, &name, &WHOLE).iter().any(|g| g.abs() > 1e-6), "{name} is flat");
    }
}

#[test]
fn tokens_that_do_not_count_do_not_matter() {
    for (name, objective) in objectives() {
        let mut junk = LOGP;
        junk[2] = -1e6;
        junk[4] = f64::NEG_INFINITY;
        junk[8] = f64::NAN;
        assert_eq!(value(&objective, &LOGP), value(&objective, &junk), "{name}");
    }
}

#[test]
fn splitting_the_mini_batch_changes_nothing() {
    for (name, objective) in objectives() {
        let one = gradient(&objective, &name, &WHOLE);
        for splits in [&[0..1, 1..3][..], &[0..2, 2..3], &[0..1, 1..2, 2..3]] {
            let many = gradient(&objective, &name, splits);
            for (a, b) in one.iter().zip(&many) {
                assert!((a - b).abs() < 1e-15, "{name} {splits:?}: {a} and {b}");
            }
        }
    }
}

#[test]
fn absent_signals_are_named() {
    for (name, objective) in objectives() {
        let bare = Batch { signals: BTreeMap::new(), ..whole(&tensor(&LOGP)) };
        match objective.loss(&bare, &Totals::of(&bare.sequences)) {
            Ok(_) => assert!(objective.needs().is_empty(), "{name} did without {:?}", objective.needs()),
            Err(Error::Missing { term, signal }) => {
                assert!(name.starts_with(term), "{name} and {term}");
                assert!(objective.needs().contains(&signal), "{name} did not declare {signal}");
            }
            Err(e) => panic!("{name}: {e}"),
        }
    }
}

#[test]
fn a_term_of_weight_zero_is_absent() {
    for term in terms() {
        let spec = TermSpec::new(term.clone(), 0.0);
        let with = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
        let without = Objective::new(&ObjectiveSpec::default(), &[]).unwrap();
        assert!(with.needs().is_empty(), "{}", term.name);
        assert_eq!(value(&with, &LOGP), value(&without, &LOGP), "{}", term.name);
    }
}

#[test]
fn a_signal_carries_a_gradient_if_and_only_if_it_is_declared() {
    for term in terms() {
        let spec = TermSpec::new(term.clone(), 1.0);
        let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
        let mut batch = whole(&tensor(&LOGP));
        let leaves: Vec<_> =
            batch.signals.iter().map(|(s, x)| (s.clone(), Var::from_tensor(x).unwrap())).collect();
        batch.logp_n = Var::from_tensor(&batch.logp_n).unwrap().as_tensor().clone();
        batch.signals = leaves.iter().map(|(s, v)| (s.clone(), v.as_tensor().clone())).collect();
        let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
        let grads = loss.total.backward().unwrap();
        for (signal, leaf) in &leaves {
            let (found, declared) = (grads.get(leaf).is_some(), objective.tracks().contains(signal));
            assert_eq!(found, declared, "{term:?} {signal}");
        }
    }
}

#[test]
fn a_term_reaches_the_weights() {
    for term in terms() {
        let spec = TermSpec::new(term.clone(), 0.5);
        let with = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
        let without = Objective::new(&ObjectiveSpec::default(), &[]).unwrap();
        let (a, b) = (gradient(&with, &term.name, &WHOLE), gradient(&without, "policy", &WHOLE));
        assert!(a.iter().zip(&b).any(|(a, b)| (a - b).abs() > 1e-4), "{term:?}");
    }
}

/// The gradients in the clean branch and in the view of a term on leaves of their own.
fn branches(term: &Named, clean: f64, view: f64, correct: bool) -> (Option<f64>, Option<f64>) {
    let leaf = |x: f64| Var::from_tensor(&tensor(&[x])).unwrap();
    let (clean, view) = (leaf(clean), leaf(view));
    let one = 0..1;
    let batch = Batch {
        logp_n: clean.as_tensor().clone(),
        old_n: None,
        advantage_n: tensor(&[0.0]),
        sequences: Sequences::new(vec![one], vec![true], vec![correct]).unwrap(),
        signals: BTreeMap::from([
            (Signal::View("mask".into()), view.as_tensor().clone()),
            (Signal::OldView("mask".into()), tensor(&[-1.0])),
        ]),
    };
    let spec = TermSpec::new(term.clone(), 1.0);
    let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
    let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
    let grads = loss.total.backward().unwrap();
    let grad = |var: &Var| grads.get(var).map(|g| g.to_vec1::<f64>().unwrap()[0]);
    (grad(&clean), grad(&view))
}

#[test]
fn a_view_term_moves_the_branch_that_its_recipe_names() {
    let kl = |through: &str| Named::new("view-kl").with("views", vec!["mask"]).with("through", through);
    let moved = |g: Option<f64>| g.unwrap_or(0.0) != 0.0;
    for (through, clean, view) in [("clean", true, false), ("view", false, true), ("both", true, true)] {
        let (a, b) = branches(&kl(through), -1.0, -1.5, true);
        assert_eq!((moved(a), moved(b)), (clean, view), "{through}");
    }
    // k3 in the view: exp(view - clean) - 1, so the view is drawn towards the clean policy.
    let (_, grad) = branches(&kl("view"), -1.0, -1.5, true);
    assert!((grad.unwrap() - ((-0.5f64).exp() - 1.0)).abs() < 1e-12);
    // The gate, and the cap.
    assert!(!moved(branches(&kl("view").with("scope", "correct"), -1.0, -1.5, false).1));
    assert!(moved(branches(&kl("view").with("scope", "correct"), -1.0, -1.5, true).1));
    assert!(!moved(branches(&kl("view").with("cap", 0.05), -1.0, -1.5, true).1));
}

#[test]
fn the_worst_view_takes_the_gradient() {
    let term = |worst: &str| {
        let views = Named::new("view-kl").with("views", vec!["a", "b"]);
        views.with("through", "view").with("worst", worst)
    };
    let gradients = |worst: &str| {
        let (a, b) = (tensor(&[-1.0, -3.0, -1.1]), tensor(&[-2.0, -1.2, -1.5]));
        let (a, b) = (Var::from_tensor(&a).unwrap(), Var::from_tensor(&b).unwrap());
        let batch = Batch {
            logp_n: tensor(&[-1.0, -1.0, -1.0]),
            old_n: None,
            advantage_n: tensor(&[0.0; 3]),
            sequences: Sequences::whole(vec![0..2, 2..3]).unwrap(),
            signals: BTreeMap::from([
                (Signal::View("a".into()), a.as_tensor().clone()),
                (Signal::View("b".into()), b.as_tensor().clone()),
            ]),
        };
        let spec = TermSpec::new(term(worst), 1.0);
        let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
        let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
        let grads = loss.total.backward().unwrap();
        let moved = |v: &Var| -> Vec<bool> {
            let grad = grads.get(v).map(|g| g.to_vec1::<f64>().unwrap()).unwrap_or_default();
            grad.iter().map(|g| *g != 0.0).collect()
        };
        (moved(&a), moved(&b))
    };
    assert_eq!(gradients("token"), (vec![false, true, false], vec![true, false, true]));
    // By sequence: the first one's mean is larger in a, although b wins a token of it.
    assert_eq!(gradients("sequence"), (vec![false, true, false], vec![false, false, true]));
}

#[test]
fn the_largest_tokens_of_each_answer_are_chosen_as_torch_does() {
    // torch.nanquantile([0, 1, 2, 4], 0.8) is 2.8, of [3, 1] 2.6 (torch 2.15): one token of each.
    let leaf = Var::from_tensor(&tensor(&[0.0, -1.0, -2.0, -4.0, -9.0, -3.0, -1.0])).unwrap();
    let term = Named::new("view-kl").with("views", vec!["mask"]).with("estimator", "k1").with("top_p", 0.2);
    let counted = vec![true, true, true, true, false, true, true];
    let batch = Batch {
        logp_n: tensor(&[0.0; 7]),
        old_n: None,
        advantage_n: tensor(&[0.0; 7]),
        sequences: Sequences::new(vec![0..5, 5..7], counted, vec![true; 2]).unwrap(),
        signals: BTreeMap::from([(Signal::View("mask".into()), leaf.as_tensor().clone())]),
    };
    let value_n = term.build("term", TERMS).unwrap().per_token(&batch).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(value_n[..4], [0.0, 0.0, 0.0, 4.0]);
    assert_eq!(value_n[5..], [3.0, 0.0]);
    let bad = Named::new("view-kl").with("views", vec!["mask"]).with("top_p", 1.5).build("term", TERMS);
    assert!(bad.unwrap_err().to_string().contains("top_p"));
}

#[test]
fn fidelity_names_what_the_authors_and_the_paper_do() {
    let kl = |fidelity: &str| Named::new("view-kl").with("views", vec!["mask"]).with("fidelity", fidelity);
    let needs = |term: &Named| term.build("term", TERMS).unwrap().needs();
    assert_eq!(needs(&kl("authors")), [Signal::OldView("mask".into())]);
    assert_eq!(needs(&kl("paper")), [Signal::View("mask".into())]);
    // What is said beside it wins.
    assert_eq!(needs(&kl("authors").with("stale", false)), [Signal::View("mask".into())]);
    for (wrong, word) in [
        (kl("authors").with("through", "both"), "stale"),
        (kl("authors").with("estimator", "full"), "full"),
        (kl("papers"), "paper"),
        (kl("paper").with("estimator", "k9"), "full"),
    ] {
        let message = wrong.build("term", TERMS).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_term_in_the_reward_is_a_sum_over_each_answer_and_not_in_the_loss() {
    let spec = TermSpec { place: Place::Reward, ..TermSpec::new(kl1(), 0.5) };
    let again: TermSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(spec, again);
    let objective = Objective::new(&ObjectiveSpec::default(), &[spec]).unwrap();
    assert!(objective.needs().is_empty() && objective.has_penalties());
    assert_eq!(objective.reward_needs(), [Signal::Reference]);
    let batch = whole(&tensor(&LOGP));
    let penalty_s = objective.penalties(&batch).unwrap();
    for (penalty, range) in penalty_s.iter().zip(&RANGES) {
        let counted = range.clone().filter(|&n| COUNTED[n]);
        let expected: f64 = counted.map(|n| 0.5 * (LOGP[n] - REFERENCE[n])).sum();
        assert!((penalty - expected).abs() < 1e-12, "{penalty}, expected {expected}");
    }
    assert_eq!(objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap().parts.len(), 1);
    let bad = serde_json::json!({"name": "reference-kl", "place": "reward", "reduction": "token-mean"});
    let message = serde_json::from_value::<TermSpec>(bad).unwrap_err().to_string();
    assert!(message.contains("reduction"), "{message}");
}

fn kl1() -> Named {
    Named::new("reference-kl").with("estimator", "k1")
}

#[test]
fn the_metrics_of_a_term_are_over_the_tokens_that_it_is_about() {
    let term = Named::new("view-kl").with("views", vec!["mask"]).with("scope", "correct").with("cap", 0.05);
    let objective = Objective::new(&ObjectiveSpec::default(), &[TermSpec::new(term, 1.0)]).unwrap();
    let batch = whole(&tensor(&LOGP));
    let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
    let spread = loss.spreads[0].1;
    // Counted tokens of the first and the third sequence, 0.3 of their log-probability apart.
    let k3 = |n: usize| {
        let r = 0.3 * LOGP[n];
        r.exp() - r - 1.0
    };
    let all: Vec<f64> = [0, 1, 7].map(|n| k3(n).min(0.05)).to_vec();
    assert_eq!(spread.tokens, 3.0);
    assert!((spread.sum - all.iter().sum::<f64>()).abs() < 1e-12);
    assert_eq!(spread.saturated, all.iter().filter(|v| **v == 0.05).count() as f64);
    assert!((spread.max - 0.05).abs() < 1e-12 && spread.variance() > 0.0);
}

#[test]
fn advantages_are_finite_ordered_and_silent_without_variance() {
    let group = |rewards: &[f64]| rewards.iter().map(|&r| Outcome::of_reward(r)).collect::<Vec<_>>();
    for row in ADVANTAGES {
        let advantage = Named::new(row.name).build("advantage", ADVANTAGES).unwrap();
        let groups = [
            group(&[1.0, 0.0, f64::NAN, 0.5]),
            group(&[0.3, 0.3, 0.3]),
            group(&[1.0]),
            group(&[f64::NAN, f64::NAN]),
            group(&[0.1 + 0.2, 0.3]),
            vec![],
        ];
        let found = advantage.of(&groups);
        let shape = |all: &[Vec<f64>]| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(shape(&found), vec![4, 3, 1, 2, 2, 0], "{}", row.name);
        assert!(found.iter().flatten().all(|a| a.is_finite()), "{}: {found:?}", row.name);
        assert_eq!(found[0][2], 0.0, "{}: a rollout that could not be scored has credit", row.name);
        assert!(found[0][0] > found[0][1], "{}: {found:?}", row.name);
        if row.name != "reinforce-pp" {
            let zeros = found[1..].iter().flatten().all(|a| *a == 0.0);
            assert!(zeros, "{}: credit without variance: {found:?}", row.name);
        }
    }
}

#[test]
fn a_group_of_scattered_scores_counts_less() {
    let weight = Named::new("score-uncertainty").build("group_weight", GROUP_WEIGHTS).unwrap();
    let group = |values: &[f64]| {
        values.iter().map(|&value| Outcome { value, ..Outcome::of_reward(0.0) }).collect::<Vec<_>>()
    };
    // Population variance 4 is the largest on 1 to 5; 7 is read as 5; fewer than two scores count in full.
    for (values, u) in [
        (&[1.0, 5.0][..], 1.0),
        (&[3.0, 3.0, 3.0], 0.0),
        (&[1.0, 7.0, f64::NAN], 1.0),
        (&[2.0, 4.0], 0.25),
        (&[2.0, f64::NAN], 0.0),
        (&[], 0.0),
    ] {
        assert!((weight.of(&group(values)) - (-0.2f64 * u).exp()).abs() < 1e-12, "{values:?}");
    }
    let spec = ObjectiveSpec {
        group_weight: Some(Named::new("score-uncertainty")),
        advantage: Named::new("group-mean"),
        ..Default::default()
    };
    let outcomes = [(1.0, 1.0), (5.0, 0.0)].map(|(value, r)| Outcome { value, ..Outcome::of_reward(r) });
    let credits = Objective::new(&spec, &[]).unwrap().advantages(&[outcomes.to_vec()]);
    assert!((credits[0][0] - 0.5 * (-0.2f64).exp()).abs() < 1e-12, "{credits:?}");
}

#[test]
fn weights_fall_as_their_anneal_says() {
    use serde_json::json;
    let term = |anneal| -> TermSpec {
        serde_json::from_value(json!({"name": "reference-kl", "weight": 0.5, "anneal": anneal})).unwrap()
    };
    let weight = |anneal, done| {
        let mut objective = Objective::new(&ObjectiveSpec::default(), &[term(anneal)]).unwrap();
        objective.anneal(done);
        let batch = whole(&tensor(&LOGP));
        let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
        loss.raw.first().map_or(0.0, |(_, raw)| loss.parts[1].1 / raw)
    };
    let (line, cosine) = (json!({"shape": "linear", "until": 0.5}), json!({"shape": "cosine", "until": 1.0}));
    for (done, expected) in [(0.0, 0.5), (0.25, 0.25), (0.5, 0.0), (0.9, 0.0)] {
        assert!((weight(line.clone(), done) - expected).abs() < 1e-12, "{done}");
    }
    assert!((weight(cosine.clone(), 0.5) - 0.25).abs() < 1e-12 && weight(cosine, 1.0).abs() < 1e-12);
    let bad = json!({"name": "entropy", "anneal": {"shape": "linear", "until": 0}});
    let message = serde_json::from_value::<TermSpec>(bad).unwrap_err().to_string();
    assert!(message.contains("anneal.until") && message.contains("entropy"), "{message}");
}

#[test]
fn one_success_in_five_has_the_known_credit() {
    let advantage = Named::new("group-z").build("advantage", ADVANTAGES).unwrap();
    let found = advantage.of(&[[1., 0., 0., 0., 0.].map(Outcome::of_reward).to_vec()]);
    assert!((found[0][0] - 1.789).abs() < 1e-3 && (found[0][1] + 0.447).abs() < 1e-3, "{found:?}");
}

#[test]
fn names_are_unique_cited_and_strict() {
    fn table<T: ?Sized>(axis: &'static str, table: &[Entry<T>]) {
        for (i, row) in table.iter().enumerate() {
            let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(row.name.chars().all(lower), "{axis} {}", row.name);
            assert!(table[..i].iter().all(|other| other.name != row.name), "{axis} {} twice", row.name);
            assert!(!row.paper.is_empty(), "{axis} {} cites nothing", row.name);
            let typo = settings(row.name).with("no_such_field", 1).build(axis, table);
            let message = typo.err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains("no_such_field") && message.contains(row.name), "{axis}: {message}");
        }
        let message = Named::new("no-such-row").build(axis, table).err().unwrap().to_string();
        assert!(message.contains(table[0].name) && message.contains("no-such-row"), "{message}");
    }
    table("advantage", ADVANTAGES);
    table("ratio", RATIOS);
    table("surrogate", SURROGATES);
    table("correction", CORRECTIONS);
    table("reduction", REDUCTIONS);
    table("term", TERMS);
    table("group_weight", GROUP_WEIGHTS);
}

#[test]
fn on_policy_the_ratio_is_exactly_one() {
    let objective = Objective::new(&ObjectiveSpec::default(), &[]).unwrap();
    let batch = Batch { old_n: None, ..whole(&tensor(&LOGP)) };
    let sums = objective.diagnostics(&batch).unwrap();
    assert_eq!((sums.ratio, sums.ratio_max, sums.moved), (sums.tokens, 1.0, 0.0));
    assert_eq!(sums.tokens, COUNTED.iter().filter(|c| **c).count() as f64);
}
