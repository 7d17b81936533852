//! First weights.
//!
//! Decides the scale of every tensor. Each is drawn from a generator of its own, keyed by seed and name, so
//! that another tensor more changes none of the others.

use std::f64::consts::TAU;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::parameters::{Parameter, Role};
use super::{Init, TinySpec};

/// The values of a tensor, row by row.
pub(super) fn values(spec: &TinySpec, parameter: &Parameter) -> Vec<f32> {
    let count = parameter.shape.iter().product();
    let (mean, std) = moments(spec, parameter);
    if std == 0.0 {
        return vec![mean as f32; count];
    }
    let mut rng = generator(spec.seed, &parameter.name);
    (0..count).map(|_| (mean + std * normal(&mut rng)) as f32).collect()
}

/// Mean and standard deviation.
fn moments(spec: &TinySpec, parameter: &Parameter) -> (f64, f64) {
    let inputs: usize = parameter.shape[1..].iter().product();
    // Keeps the variance of what passes through.
    let keep = 1.0 / (inputs as f64).sqrt();
    match (spec.init, parameter.role) {
        (Init::Scratch, Role::Gain) => (1.0, 0.0),
        (Init::Scratch, Role::Bias) => (0.0, 0.0),
        (Init::Scratch, Role::Residual(others)) => (0.0, keep / (others as f64).sqrt()),
        (Init::Scratch, Role::Head) => (0.0, 0.5 * keep),
        (Init::Probe, Role::Gain) => (1.0, 0.2),
        (Init::Probe, Role::Bias) => (0.0, 0.1),
        // A tied model would mostly echo its input token if the layers did not outweigh the embedding.
        (Init::Probe, Role::Table) => (0.0, if spec.tied { 0.1 } else { 0.6 }),
        (Init::Probe, Role::Residual(_)) => (0.0, if spec.tied { 2.0 * keep } else { keep }),
        (Init::Probe, Role::Head) => (0.0, 3.0 * keep),
        (Init::Scratch, Role::Table) | (_, Role::Linear) => (0.0, keep),
    }
}

/// A generator of its own for each seed and name.
pub(crate) fn generator(seed: u64, name: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(name).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// FNV-1a: the same on every machine and in every version, unlike the standard hasher.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Box-Muller; the first of the pair is enough here.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (radius, angle) = (unit(), unit());
    (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
}
