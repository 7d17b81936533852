//! From the rewards of groups to one credit per rollout.
//!
//! An advantage sees outcomes, never tensors: it is arithmetic in f64 on the whole batch of groups,
//! because some take their spread over the batch. A reward of NaN means that a rollout could not be
//! scored: it is left out of every statistic and its advantage is 0.

use crate::Entry;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

mod group_mean;
mod group_z;
mod opo;
mod pass_at_k;
mod reinforce_pp;
mod rloo;

/// Every advantage a recipe can name.
pub const ADVANTAGES: &[Entry<dyn Advantage>] =
    &[group_z::ENTRY, group_mean::ENTRY, rloo::ENTRY, opo::ENTRY, pass_at_k::ENTRY, reinforce_pp::ENTRY];

/// What one rollout came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The weighted sum of its rewards; NaN if it could not be scored.
    pub reward: f64,
    /// Counted tokens.
    pub tokens: usize,
    /// Whether the answer is right.
    pub correct: bool,
    /// The number that the answer gives, where it is one; NaN otherwise.
    pub value: f64,
    /// Which of the group's distinct answers it is; unread answers are one of them.
    pub answer: usize,
    /// Mean log-probability of its tokens when it was sampled; NaN for an answer that was not.
    pub logp: f64,
}

impl Outcome {
    /// An outcome known by its reward alone: one token, correct when the reward is positive.
    pub fn of_reward(reward: f64) -> Self {
        Self { reward, tokens: 1, correct: reward > 0.0, value: f64::NAN, answer: 0, logp: f64::NAN }
    }
}

/// How outcomes become credit.
pub trait Advantage: Debug + Send + Sync {
    /// The name in [`ADVANTAGES`].
    fn name(&self) -> &'static str;

    /// One finite advantage per rollout of each group, in the same order. A group whose scored
    /// rewards are all equal, or that has fewer than two, gets zeros.
    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>>;
}

/// Mean and unbiased standard deviation (n - 1) of the scored rewards; `None` with none.
pub(crate) fn moments(rewards: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let scored = rewards.filter(|r| !r.is_nan());
    let n = scored.clone().count() as f64;
    if n == 0.0 {
        return None;
    }
    let mean = scored.clone().sum::<f64>() / n;
    let squares: f64 = scored.map(|r| (r - mean).powi(2)).sum();
    Some((mean, if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 }))
}

/// The rewards of a group, in order.
pub(crate) fn rewards(group: &[Outcome]) -> impl Iterator<Item = f64> + Clone + '_ {
    group.iter().map(|o| o.reward)
}

/// `f(reward)` for every rollout of a group that can be scored and compared, 0 elsewhere. A spread of
/// rounding errors is no spread: dividing by it would make credit of nothing.
pub(crate) fn each(group: &[Outcome], f: impl Fn(&Outcome) -> f64) -> Vec<f64> {
    let mut scored = rewards(group).filter(|r| !r.is_nan());
    let first = scored.next().unwrap_or_default();
    if scored.all(|r| (r - first).abs() <= 1e-12 * first.abs().max(1.0)) {
        return vec![0.0; group.len()];
    }
    group.iter().map(|o| if o.reward.is_nan() { 0.0 } else { f(o) }).collect()
}
