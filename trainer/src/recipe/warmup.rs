//! `[warmup]`: the supervised stage before. Knows no loss.

use serde::{Deserialize, Serialize};

/// `[warmup]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmupRecipe {
    /// Supervised updates before the reinforcement learning; 0 for none.
    pub steps: u64,
    /// Their highest learning rate; it falls on half a cosine to nothing.
    pub lr: f64,
    /// Images a step.
    pub images: usize,
    /// Questions of each image, where the task has several.
    pub questions: usize,
}

impl Default for WarmupRecipe {
    fn default() -> Self {
        Self { steps: 0, lr: 2e-3, images: 32, questions: 8 }
    }
}
