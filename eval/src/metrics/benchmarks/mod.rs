//! What each benchmark's own script states, by the same names.

use crate::record::Record;
use serde::{Deserialize, Serialize};

mod hr_bench;
mod mathvista;
mod mme_realworld;
mod vstar;

/// A number that a benchmark states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Its place, from the outside in: `Perception/Monitoring/Avg`.
    pub name: String,
    /// The number; accuracies are shares of 1.
    pub value: f64,
    /// How many answers it is made of.
    pub of: usize,
}

impl Score {
    fn new(name: impl Into<String>, value: f64, of: usize) -> Self {
        Self { name: name.into(), value, of }
    }
}

/// The scores of one benchmark.
#[derive(Debug)]
pub struct Benchmark {
    /// Its tasks.
    pub tasks: &'static [&'static str],
    /// The scores of clean pictures, or of any one kind.
    pub of: fn(&[&Record]) -> Vec<Score>,
}

/// Every benchmark that states more than an accuracy.
pub const BENCHMARKS: &[Benchmark] = &[
    Benchmark { tasks: &["vstar"], of: vstar::scores },
    Benchmark {
        tasks: &["mme-realworld", "mme-realworld-cn", "mme-realworld-lite"],
        of: mme_realworld::scores,
    },
    Benchmark { tasks: &["hr-bench-4k", "hr-bench-8k"], of: hr_bench::scores },
    Benchmark { tasks: &["mathvista"], of: mathvista::scores },
];
