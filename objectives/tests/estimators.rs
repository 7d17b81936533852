//! What the gradient of a KL estimate really is, exactly: by enumeration over a tiny vocabulary.
//!
//! Loss = Σ_v p(v) · f(lp(v), lq(v)) with the sampling weights p(v) held constant, as training does.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{D, Device, Tensor, Var};
use foveate_objectives::kl::Estimator;

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
