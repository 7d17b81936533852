//! `[warmup]`: the supervised stage before. Knows no loss.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[warmup]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmupRecipe {
    /// Supervised updates before the reinforcement learning; 0 for none.
    pub steps: u64,
    /// Their highest learning rate; it falls on half a cosine.
    pub lr: f64,
    /// The rate at their end, as a share of `lr`.
    pub floor: f64,
    /// Images a step.
    pub images: usize,
    /// Questions of each image, where the task has several.
    pub questions: usize,
    /// By category of question (what a task tells as `category`, or as `family` where it draws them): the share of its samples that have an answer to learn from, drawn once for
    /// the run; all of a category that is not named. The rest is left to the rewards.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub share: BTreeMap<String, f64>,
}

impl Default for WarmupRecipe {
    fn default() -> Self {
        Self { steps: 0, lr: 2e-3, floor: 0.0, images: 32, questions: 8, share: BTreeMap::new() }
    }
}
