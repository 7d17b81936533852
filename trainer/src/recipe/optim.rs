//! `[optim]`: how a gradient becomes an update. Knows no optimiser.

use crate::optim::ScheduleKind;
use serde::{Deserialize, Serialize};
use std::ops::Not;

/// `[optim]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimRecipe {
    /// The highest learning rate.
    pub lr: f64,
    /// The shape after warm-up.
    pub schedule: ScheduleKind,
    /// The rate at the end, as a share of `lr`.
    pub floor: f64,
    /// Updates over which the rate rises.
    pub warmup: u64,
    /// What the learning rate of the tower and the merger is multiplied by.
    pub vision_lr: f64,
    /// AdamW's decays of the mean of gradients and of their squares. A short stage wants a second one under
    /// 0.999, which remembers the large gradients of the first steps for a thousand.
    pub betas: [f64; 2],
    /// Decoupled weight decay, not on norms and biases.
    pub weight_decay: f64,
    /// Largest global norm of a gradient; 0 leaves gradients as they are.
    pub clip_norm: f64,
    /// Updates for each batch of rollouts: its groups are split into this many mini-batches.
    pub updates: usize,
    /// Tokens a forward pass may hold; a mini-batch is cut into as many passes as that takes.
    pub token_budget: usize,
    /// Run views without gradients first, and again with them only for the answers in which a term has
    /// one: less memory, and less time where few views win a token.
    #[serde(skip_serializing_if = "Not::not")]
    pub lean_views: bool,
    /// Updates that may be lost to numbers that are not finite before the run stops.
    pub max_skipped: u64,
}

impl Default for OptimRecipe {
    fn default() -> Self {
        Self {
            lr: 1e-6,
            schedule: ScheduleKind::Constant,
            floor: 0.0,
            warmup: 0,
            vision_lr: 1.0,
            betas: [0.9, 0.999],
            weight_decay: 0.01,
            clip_norm: 1.0,
            updates: 1,
            token_budget: 16_384,
            lean_views: false,
            max_skipped: 5,
        }
    }
}
