//! `[rollout]`: how answers are sampled. Knows no model.

use super::{ServerRecipe, TurnsRecipe};
use serde::{Deserialize, Serialize};
use std::ops::Not;

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
    #[serde(skip_serializing_if = "Not::not")]
    pub mask_cut: bool,
    /// The longest answer.
    pub max_tokens: usize,
    /// The shortest answer.
    pub min_tokens: usize,
    /// Of sampling, and of the log-probabilities that are trained.
    pub temperature: f32,
    /// Nucleus sampling; the log-probabilities know nothing of it, as in the peers.
    pub top_p: f32,
    /// What samples.
    pub engine: EngineName,
    /// The server, where that is what samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerRecipe>,
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
            engine: EngineName::Local,
            server: None,
            turns: None,
        }
    }
}

/// Who samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// The model that is trained, in this process.
    Local,
    /// A server with OpenAI's chat completions that takes weights.
    Server,
}
