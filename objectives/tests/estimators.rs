//! What the gradient of a KL estimate really is, exactly: by enumeration over a tiny vocabulary.
//!
//! Loss = Σ_v p(v) · f(lp(v), lq(v)) with the sampling weights p(v) held constant, as training does.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{D, Device, Tensor, Var};
use foveate_objectives::kl::Estimator;
use foveate_objectives::terms::TERMS;
use foveate_objectives::{Batch, Named, Sequences, Signal};
use std::collections::BTreeMap;

const P: [f64; 7] = [0.3, -1.2, 0.8, 0.0, -0.5, 1.1, -2.0];
const Q: [f64; 7] = [-0.4, 0.2, 0.5, -0.9, 0.7, 0.1, -1.0];

fn log_softmax(x: &Tensor) -> Tensor {
    let z = x.exp().unwrap().sum_keepdim(D::Minus1).unwrap().log().unwrap();
    x.broadcast_sub(&z).unwrap()
}

fn logp(x: &[f64; 7]) -> Tensor {
    log_softmax(&Tensor::new(x, &Device::Cpu).unwrap())
}

/// The gradient in the logits of `var`, of what `loss` makes of its log-probabilities.
fn gradient(var: &[f64; 7], loss: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let var = Var::new(var, &Device::Cpu).unwrap();
    let grads = loss(&log_softmax(&var)).sum_all().unwrap().backward().unwrap();
    grads.get(&var).unwrap().to_vec1().unwrap()
}

/// `KL(a ‖ b)` summed exactly, with every gradient.
fn exact(a: &Tensor, b: &Tensor) -> Tensor {
    (a.exp().unwrap() * (a - b).unwrap()).unwrap()
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
}

fn sampled(estimator: Estimator) -> Vec<f64> {
    let q = logp(&Q);
    gradient(&P, |p| (p.detach().exp().unwrap() * estimator.per_token(p, &q, false).unwrap()).unwrap())
}

#[test]
fn k1_as_a_loss_does_nothing() {
    assert!(close(&sampled(Estimator::K1), &[0.0; 7]));
}

#[test]
fn k2_and_k3_plus_give_the_gradient_of_kl_p_q() {
    let expected = gradient(&P, |p| exact(p, &logp(&Q)));
    assert!(expected.iter().any(|g| g.abs() > 0.05));
    assert!(close(&sampled(Estimator::K2), &expected));
    assert!(close(&sampled(Estimator::K3Plus), &expected));
}

#[test]
fn k3_through_the_policy_gives_the_gradient_of_the_other_kl() {
    let expected = gradient(&P, |p| exact(&logp(&Q), p));
    assert!(close(&sampled(Estimator::K3), &expected));
    assert!(!close(&sampled(Estimator::K3), &gradient(&P, |p| exact(p, &logp(&Q)))));
}

#[test]
fn k3_through_the_other_branch_gives_the_gradient_of_kl_p_q() {
    let p = logp(&P);
    let estimate = |q: &Tensor| (p.exp().unwrap() * Estimator::K3.per_token(&p, q, false).unwrap()).unwrap();
    assert!(close(&gradient(&Q, estimate), &gradient(&Q, |q| exact(&p, q))));
}

#[test]
fn the_surprisal_of_sampled_tokens_has_no_gradient() {
    let found = gradient(&P, |p| (p.detach().exp().unwrap() * p.neg().unwrap()).unwrap());
    assert!(close(&found, &[0.0; 7]));
}

const R: [f64; 7] = [0.6, -0.7, -0.1, 0.4, 0.0, 0.9, -1.5];

/// A term over the whole vocabulary: each token an answer of its own, weighed by the probability with which
/// the clean policy draws it. The gradients in the logits of the clean policy and of both views.
fn enumerated(term: &Named) -> [Vec<f64>; 3] {
    let leaves = [P, Q, R].map(|logits| Var::new(&logits, &Device::Cpu).unwrap());
    let [clean, one, two] = leaves.each_ref().map(|leaf| log_softmax(leaf));
    let ranges = (0..7).map(|v| v..v + 1).collect();
    let batch = Batch {
        logp_n: clean.clone(),
        old_n: None,
        advantage_n: Tensor::new(&[2.0f64; 7], &Device::Cpu).unwrap(),
        sequences: Sequences::whole(ranges).unwrap(),
        signals: BTreeMap::from([
            (Signal::View("one".into()), one.clone()),
            (Signal::OldView("one".into()), one.detach()),
            (Signal::View("two".into()), two.clone()),
        ]),
    };
    let value_n = term.build("term", TERMS).unwrap().per_token(&batch).unwrap();
    let loss = (clean.detach().exp().unwrap() * value_n).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    leaves.map(|leaf| grads.get(&leaf).map(|g| g.to_vec1().unwrap()).unwrap_or_else(|| vec![0.0; 7]))
}

fn view_kl(views: &[&str]) -> Named {
    Named::new("view-kl").with("views", views.to_vec()).with("clamp", false)
}

#[test]
fn papo_by_its_authors_ascends_the_other_kl_in_the_clean_branch_alone() {
    for term in [view_kl(&["one"]).with("fidelity", "authors"), view_kl(&["one"])] {
        let [clean, view, _] = enumerated(&term);
        assert!(close(&clean, &gradient(&P, |p| exact(&logp(&Q), p))));
        assert!(close(&view, &[0.0; 7]));
    }
}

#[test]
fn papo_by_its_paper_has_the_gradient_of_its_kl_in_both_branches() {
    let [clean, view, _] = enumerated(&view_kl(&["one"]).with("fidelity", "paper"));
    assert!(close(&clean, &gradient(&P, |p| exact(p, &logp(&Q)))));
    assert!(close(&view, &gradient(&Q, |q| exact(&logp(&P), q))));
}

#[test]
fn roma_has_the_gradient_of_kl_clean_view_in_the_view_alone() {
    let [clean, view, other] = enumerated(&view_kl(&["one"]).with("through", "view"));
    assert!(close(&clean, &[0.0; 7]) && close(&other, &[0.0; 7]));
    assert!(close(&view, &gradient(&Q, |q| exact(&logp(&P), q))));
}

#[test]
fn roma_descends_each_token_s_worst_view() {
    let [clean, one, two] = enumerated(&view_kl(&["one", "two"]).with("through", "view"));
    assert!(close(&clean, &[0.0; 7]));
    // By hand: where a view's k3 is the larger one, p · (e^r - 1) goes to its log-probability.
    let all = [&P, &Q, &R].map(|logits| logp(logits).to_vec1::<f64>().unwrap());
    let k3 = |r: f64| r.exp() - r - 1.0;
    let expected = |own: usize, logits: &[f64; 7]| {
        let weight: Vec<f64> = (0..7)
            .map(|v| {
                let r = |k: usize| all[k][v] - all[0][v];
                let wins = k3(r(own)) > k3(r(3 - own));
                if wins { all[0][v].exp() * (r(own).exp() - 1.0) } else { 0.0 }
            })
            .collect();
        assert!(weight.iter().any(|w| *w != 0.0) && weight.contains(&0.0), "each view wins some tokens");
        let weight = Tensor::new(weight, &Device::Cpu).unwrap();
        gradient(logits, |q| (q * &weight).unwrap())
    };
    assert!(close(&one, &expected(1, &Q)));
    assert!(close(&two, &expected(2, &R)));
}

#[test]
fn the_surprisal_of_a_view_pulls_it_towards_the_clean_policy_or_does_nothing() {
    let entropy = Named::new("view-entropy").with("view", "one");
    let [clean, view, _] = enumerated(&entropy);
    assert!(close(&clean, &[0.0; 7]) && close(&view, &[0.0; 7]), "the authors' masked entropy is a constant");
    let [_, view, _] = enumerated(&entropy.with("gradient", true));
    assert!(close(&view, &gradient(&Q, |q| exact(&logp(&P), q))));
}

#[test]
fn the_auxiliary_policy_gradient_is_reinforce_on_the_view_at_the_first_update() {
    let [clean, view, _] = enumerated(&Named::new("view-policy").with("view", "one"));
    assert!(close(&clean, &[0.0; 7]));
    let p = logp(&P).exp().unwrap();
    assert!(close(&view, &gradient(&Q, |q| ((q * &p).unwrap() * -2.0).unwrap())));
}

#[test]
fn the_clamp_silences_far_views() {
    for (gap, alive) in [(2.6, true), (2.62, false), (-10.9, true), (-11.1, false)] {
        let q = Var::new(&[gap], &Device::Cpu).unwrap();
        let p = Tensor::new(&[0.0], &Device::Cpu).unwrap();
        let grads = Estimator::K3.per_token(&p, &q, true).unwrap().backward().unwrap();
        let grad = grads.get(&q).unwrap().to_vec1::<f64>().unwrap()[0];
        assert_eq!(grad != 0.0, alive, "at {gap}: {grad}");
    }
}
