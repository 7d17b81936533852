//! `[rollout]`: how answers are sampled. Knows no model.

use super::TurnsRecipe;
use serde::{Deserialize, Serialize};

/// `[rollout]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutRecipe {
    /// Prompts a step.
    pub prompts: usize,
    /// Prompts about one image, where the task has several questions of each: they share its pass through
    /// the vision tower and their common beginning.
    pub questions: usize,
    /// Answers a prompt.
    pub group: usize,
    /// Rounds of asking: with more than one, groups that are all right or all wrong are dropped and others
    /// asked instead (DAPO's dynamic sampling).
    pub rounds: usize,
    /// Whether answers that were cut off give no gradient (they still count in their group's statistics).
    pub mask_cut: bool,
    /// The longest answer.
    pub max_tokens: usize,
    /// The shortest answer.
    pub min_tokens: usize,
    /// Of sampling, and of the log-probabilities that are trained.
    pub temperature: f32,
    /// Nucleus sampling; the log-probabilities know nothing of it, as in the peers.
    pub top_p: f32,
    /// What samples: `local`.
    pub engine: String,
    /// Answers of several turns, with a closer look between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<TurnsRecipe>,
}

impl Default for RolloutRecipe {
    fn default() -> Self {
        Self {
            prompts: 32,
            questions: 1,
            group: 8,
            rounds: 1,
            mask_cut: false,
            max_tokens: 16,
            min_tokens: 0,
            temperature: 1.0,
            top_p: 1.0,
            engine: "local".into(),
            turns: None,
        }
    }
}
