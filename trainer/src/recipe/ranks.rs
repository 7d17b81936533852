//! `[ranks]`: how the ranks of a run meet and share. Read by every run, of effect where there are several.

use serde::{Deserialize, Serialize};

/// `[ranks]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RanksRecipe {
    /// What carries their messages: `auto`, `tcp`, `mpi` or `nccl`.
    pub engine: String,
    /// What is sharded over ranks: 0 nothing, 1 the optimiser's moments, 2 the sum of gradients as well.
    pub zero: u8,
    /// Size of the buckets in which gradients are summed, in MiB.
    pub bucket_mb: usize,
    /// The longest that ranks wait for all to come, and that a rank waits for another in one call, in seconds.
    pub deadline_s: u64,
}

impl Default for RanksRecipe {
    fn default() -> Self {
        Self { engine: "auto".into(), zero: 1, bucket_mb: 25, deadline_s: 600 }
    }
}

impl RanksRecipe {
    /// Nothing was said of ranks: a recipe that is written down need not either.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
