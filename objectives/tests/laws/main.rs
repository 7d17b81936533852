//! What must hold for every row of every table; a new row is tested by being there.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{Device, Tensor, Var};
use foveate_objectives::advantage::ADVANTAGES;
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

mod credits;
mod views;

const N: usize = 9;
const LOGP: [f64; N] = [-0.5, -1.2, -0.1, -2.0, -0.7, -0.3, -0.9, -1.4, -0.2];
const OLD: [f64; N] = [-0.6, -1.0, -0.1, -1.5, -0.9, -0.4, -1.6, -1.3, -0.2];
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
