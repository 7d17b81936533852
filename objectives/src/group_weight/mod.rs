//! How much a whole group counts: a factor on its advantages, taken after they were normalised (before it,
//! it would cancel).

use crate::{Entry, Outcome};
use std::fmt::Debug;

mod uncertainty;

/// Every group weight a recipe can name.
pub const GROUP_WEIGHTS: &[Entry<dyn GroupWeight>] = &[uncertainty::ENTRY];

/// A factor for a group.
pub trait GroupWeight: Debug + Send + Sync {
    /// The name in [`GROUP_WEIGHTS`].
    fn name(&self) -> &'static str;

    /// The factor, finite and at least 0.
    fn of(&self, group: &[Outcome]) -> f64;
}
