//! How far the policy has moved from the one that sampled, per token or per sequence.

use crate::{Entry, Result, Sequences};
use candle_core::Tensor;
use serde::Deserialize;
use std::fmt::Debug;

/// Every ratio a recipe can name.
pub const RATIOS: &[Entry<dyn Ratio>] = &[
    Entry {
        name: "token",
        paper: "arXiv:1707.06347",
        build: |v| Ok(Box::new(serde_json::from_value::<Token>(v)?)),
    },
    Entry {
        name: "sequence",
        paper: "GSPO, arXiv:2507.18071",
        build: |v| Ok(Box::new(serde_json::from_value::<Sequence>(v)?)),
    },
];

/// The log-ratio is clamped here, as in verl; its exponential stays finite.
const LIMIT: f64 = 20.0;

/// The log of the importance ratio.
pub trait Ratio: Debug + Send + Sync {
    /// The name in [`RATIOS`].
    fn name(&self) -> &'static str;

    /// The log-ratio of each token, `[N]`, given `logp - logp_old`, `[N]`, with gradient.
    ///
    /// # Errors
    /// Those of the tensor library.
    fn log_ratio(&self, moved_n: &Tensor, sequences: &Sequences) -> Result<Tensor>;
}

/// Each token its own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Token {}

impl Ratio for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn log_ratio(&self, moved_n: &Tensor, _: &Sequences) -> Result<Tensor> {
        Ok(moved_n.clamp(-LIMIT, LIMIT)?)
    }
}

/// One per sequence, the mean over its counted tokens: every token of it carries the same number.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sequence {}

impl Ratio for Sequence {
    fn name(&self) -> &'static str {
        "sequence"
    }

    fn log_ratio(&self, moved_n: &Tensor, sequences: &Sequences) -> Result<Tensor> {
        Ok(sequences.mean_over_sequence(moved_n)?.clamp(-LIMIT, LIMIT)?)
    }
}
