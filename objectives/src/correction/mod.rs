//! How a token counts whose sampler was not quite the policy that is trained.
//!
//! A server computes in another precision and with other kernels than the trainer: the same weights give a token
//! two log-probabilities. The weight `exp(logp_old - logp_sampled)` puts the loss right, bounded so that no token
//! outweighs the rest. It has no gradient and stands before the surrogate's value, never before a term's.

use crate::{Entry, Error, Result, Sequences};
use serde::Deserialize;
use std::fmt::Debug;

/// Every correction a recipe can name.
pub const CORRECTIONS: &[Entry<dyn Correction>] = &[
    Entry {
        name: "token-truncate",
        paper: "truncated importance sampling, Yao et al. 2025; TRL's token_truncate, verl's rollout_is token",
        build: |v| Bounded::read("token-truncate", Level::Token, Beyond::Bound, v),
    },
    Entry {
        name: "token-mask",
        paper: "masked importance sampling, IcePop, arXiv:2510.18855; TRL's token_mask",
        build: |v| Bounded::read("token-mask", Level::Token, Beyond::Nothing, v),
    },
    Entry {
        name: "sequence-truncate",
        paper: "TRL's sequence_truncate, verl's rollout_is sequence",
        build: |v| Bounded::read("sequence-truncate", Level::Sequence, Beyond::Bound, v),
    },
    Entry {
        name: "sequence-mask",
        paper: "TRL's sequence_mask, its default",
        build: |v| Bounded::read("sequence-mask", Level::Sequence, Beyond::Nothing, v),
    },
];

/// The weight of each token: a ratio, bounded.
pub trait Correction: Debug + Send + Sync {
    /// The name in [`CORRECTIONS`].
    fn name(&self) -> &'static str;

    /// The importance ratio of each token, `[N]`, given `logp_old - logp_sampled`, `[N]`, which is 0 where a token
    /// does not count or was not sampled.
    fn ratios(&self, gap_n: &[f64], sequences: &Sequences) -> Vec<f64>;

    /// The weight of a token with this ratio.
    fn bound(&self, ratio: f64) -> f64;
}

/// What has a ratio of its own.
#[derive(Debug, Clone, Copy)]
enum Level {
    Token,
    /// The product over its tokens, the same for each of them.
    Sequence,
}

/// What a ratio beyond the bounds counts.
#[derive(Debug, Clone, Copy)]
enum Beyond {
    /// The bound.
    Bound,
    /// Nothing: such a token is not learnt of.
    Nothing,
}

#[derive(Debug)]
struct Bounded {
    name: &'static str,
    level: Level,
    beyond: Beyond,
    bounds: Bounds,
}

/// Between which values a ratio is believed.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Bounds {
    low: f64,
    high: f64,
}

impl Default for Bounds {
    /// Yao et al.'s cap, and no bound below.
    fn default() -> Self {
        Self { low: 0.0, high: 2.0 }
    }
}

impl Bounded {
    fn read(
        name: &'static str,
        level: Level,
        beyond: Beyond,
        settings: serde_json::Value,
    ) -> serde_json::Result<Box<dyn Correction>> {
        let bounds: Bounds = serde_json::from_value(settings)?;
        let fault = |message: String| Err(serde::de::Error::custom(message));
        match bounds {
            Bounds { low, .. } if !(0.0..=1.0).contains(&low) => {
                fault(format!("`low` should be between 0 and 1, but is {low}"))
            }
            Bounds { high, .. } if !(high >= 1.0 && high.is_finite()) => {
                fault(format!("`high` should be at least 1, but is {high}"))
            }
            bounds => Ok(Box::new(Self { name, level, beyond, bounds })),
        }
    }
}

impl Correction for Bounded {
    fn name(&self) -> &'static str {
        self.name
    }

    fn ratios(&self, gap_n: &[f64], sequences: &Sequences) -> Vec<f64> {
        let mut ratio_n: Vec<f64> = gap_n.iter().map(|gap| gap.exp()).collect();
        if let Level::Sequence = self.level {
            for range in sequences.ranges() {
                let sum: f64 = gap_n[range.clone()].iter().sum();
                ratio_n[range.clone()].fill(sum.exp());
            }
        }
        ratio_n
    }

    fn bound(&self, ratio: f64) -> f64 {
        let Bounds { low, high } = self.bounds;
        match self.beyond {
            Beyond::Bound => ratio.clamp(low, high),
            Beyond::Nothing if ratio < low || ratio > high => 0.0,
            Beyond::Nothing => ratio,
        }
    }
}

/// The log of the importance ratio of each counted token, 0 where it was not sampled.
///
/// # Errors
/// [`Error::Length`] where the lists are not as long as the row.
pub(crate) fn gaps(old_n: &[f64], sampled_n: &[f64], sequences: &Sequences) -> Result<Vec<f64>> {
    let n = sequences.tokens();
    for (what, found) in [("logp_old", old_n.len()), ("logp_sampled", sampled_n.len())] {
        if found != n {
            return Err(Error::Length { what: what.into(), expected: n, found });
        }
    }
    let gap = |((old, sampled), &counted): ((&f64, &f64), &bool)| {
        if counted && !sampled.is_nan() { old - sampled } else { 0.0 }
    };
    Ok(old_n.iter().zip(sampled_n).zip(sequences.counted()).map(gap).collect())
}
