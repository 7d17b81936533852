//! `[train]`: the stage of reinforcement learning, its checkpoints and what it logs. Knows no method.

use crate::hacking;
use serde::{Deserialize, Serialize};

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainRecipe {
    /// Steps of reinforcement learning.
    pub steps: u64,
    /// Steps between checkpoints; 0 for one at the end only.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the latest ones.
    pub keep: usize,
    /// Steps between evaluations; 0 for one at the end of each stage only.
    pub eval_every: u64,
    /// Groups of each step whose answers go to `completions.jsonl`.
    pub completions: usize,
    /// Answers of each evaluated kind of image that go to `evaluations.jsonl`.
    pub eval_completions: usize,
    /// The metric whose largest value names the best checkpoint, kept beside the latest; by default the
    /// clean accuracy of the first `[[eval]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// What is done when a perception term is hacked: `off`, `warn` or `stop`.
    pub hacking: hacking::Policy,
}

impl Default for TrainRecipe {
    fn default() -> Self {
        Self {
            steps: 100,
            checkpoint_every: 50,
            keep: 2,
            eval_every: 0,
            completions: 4,
            eval_completions: 8,
            best: None,
            hacking: hacking::Policy::default(),
        }
    }
}
