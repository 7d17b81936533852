//! What is added to the policy loss, one file a term, and the table that names them.
//!
//! A term gives one number per token. It never masks, averages, weighs or logs: the objective does,
//! with the term's own scope and that scope's denominators.

use crate::{Batch, Entry, Result, Scope, Signal};
use candle_core::Tensor;
use std::fmt::Debug;

mod entropy;
mod likelihood;
mod reference_kl;
mod view_entropy;
mod view_kl;
mod view_policy;

/// Every term a recipe can name.
pub const TERMS: &[Entry<dyn Term>] = &[
    reference_kl::ENTRY,
    entropy::ENTRY,
    likelihood::ENTRY,
    view_kl::ENTRY,
    view_entropy::ENTRY,
    view_policy::ENTRY,
];

/// One summand of an objective.
pub trait Term: Debug + Send + Sync {
    /// The name in [`TERMS`].
    fn name(&self) -> &'static str;

    /// What the term reads beyond the fields that every batch has.
    fn needs(&self) -> Vec<Signal> {
        vec![]
    }

    /// Those of [`Term::needs`] through which it sends a gradient; others may be computed without.
    fn tracks(&self) -> Vec<Signal> {
        vec![]
    }

    /// Which tokens it is about.
    fn scope(&self) -> Scope {
        Scope::All
    }

    /// The value at which a token has no gradient any more, for the metrics.
    fn ceiling(&self) -> Option<f64> {
        None
    }

    /// The value at each token, `[N]`, to be minimised where the recipe's weight is positive.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] for an absent signal, or those of the tensor library.
    fn per_token(&self, batch: &Batch) -> Result<Tensor>;
}
