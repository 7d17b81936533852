//! What is minimised at each token, given how far the policy moved and what the move was worth.
//!
//! A surrogate neither masks nor averages. Which branch of a clip is taken is decided on values and
//! the branch not taken is a constant, so no gradient depends on how ties are split.

use crate::{Batch, Entry, Result, Signal};
use candle_core::Tensor;
use std::fmt::Debug;

mod cispo;
mod ppo_clip;
mod reinforce;
mod sapo;

/// Every surrogate a recipe can name.
pub const SURROGATES: &[Entry<dyn Surrogate>] =
    &[ppo_clip::ENTRY, cispo::ENTRY, sapo::ENTRY, reinforce::ENTRY];

/// One step of the policy, seen from the tokens. All `[N]`.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// Log of the importance ratio, with gradient.
    pub log_ratio_n: &'a Tensor,
    /// Log-probability under the current weights, with gradient.
    pub logp_n: &'a Tensor,
    /// Credit, constant.
    pub advantage_n: &'a Tensor,
    /// Where the tokens stand, and the signals of [`Surrogate::needs`].
    pub batch: &'a Batch,
}

/// Which bound stopped a token from giving gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clipped {
    /// The ratio fell under the lower bound of a bad token.
    Low,
    /// The ratio rose over the upper bound of a good token.
    High,
    /// The ratio of a bad token was over the dual clip or the cap.
    Dual,
}

/// The policy loss of a token.
pub trait Surrogate: Debug + Send + Sync {
    /// The name in [`SURROGATES`].
    fn name(&self) -> &'static str;

    /// What it reads beyond the fields of [`Move`], such as the entropy by which some methods widen bounds.
    fn needs(&self) -> Vec<Signal> {
        vec![]
    }

    /// The loss of each token, `[N]`.
    ///
    /// # Errors
    /// Those of the tensor library.
    fn per_token(&self, step: Move<'_>) -> Result<Tensor>;

    /// Whether a bound is active at this ratio and advantage, for the metrics.
    fn clipped(&self, _ratio: f64, _advantage: f64) -> Option<Clipped> {
        None
    }
}
