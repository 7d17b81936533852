//! What a run tells whoever watches it. A terminal draws bars, a test counts, nobody watches: same run,
//! but for one that changes what a step learns from.

use crate::log::Metrics;
use crate::rollout::Group;
use std::path::Path;

/// The stages of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the first update.
    Start,
    /// Supervised, on given answers.
    WarmUp,
    /// Reinforcement learning.
    Train,
}

impl Stage {
    /// The name in `metrics.jsonl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::WarmUp => "warmup",
            Self::Train => "train",
        }
    }
}

/// Told of what happens. Every method may do nothing.
pub trait Observer {
    /// A stage of `steps` steps begins, `done` of them done by an earlier run.
    fn stage(&mut self, _stage: Stage, _done: u64, _steps: u64) {}
    /// Step `step` of the run (from 1) will learn from `groups`. Whoever watches may change them: what is
    /// learnt is what it leaves.
    fn sampled(&mut self, _step: u64, _groups: &mut [Group]) {}
    /// Step `step` of the run (from 1) is done.
    fn step(&mut self, _stage: Stage, _step: u64, _metrics: &Metrics) {}
    /// An evaluation goes on: `done` of `all` answers.
    fn evaluating(&mut self, _done: usize, _all: usize) {}
    /// A checkpoint is on disk.
    fn checkpoint(&mut self, _step: u64, _dir: &Path) {}
    /// Something the user should read.
    fn note(&mut self, _text: &str) {}
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
