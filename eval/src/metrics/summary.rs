//! `summary.json`: every number of an evaluation, made of its records alone.

use super::{
    BENCHMARKS, CellSummary, Comparison, CorruptionErrors, Counts, Group, Quality, Robustness, Run, Score,
    compare, facets, grouped, runs,
};
use crate::record::Record;
use crate::stats::Bootstrap;
use foveate_datasets::grade::choice::letter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every number of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Every model on every task.
    pub runs: Vec<RunSummary>,
    /// Each model with the first on the same task.
    pub comparisons: Vec<Comparison>,
}

/// One model on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The task.
    pub task: String,
    /// Its version.
    pub version: u32,
    /// Who answered.
    pub model: String,
    /// How the answers were drawn.
    pub sampling: String,
    /// Least and largest area in pixels that a picture was resized to.
    pub pixels: Option<[u64; 2]>,
    /// Of the corruptions and the sampling.
    pub seed: u64,
    /// Outcomes of all kinds of picture.
    pub counts: Counts,
    /// Whether every call has a response.
    pub complete: bool,
    /// Accuracy of blind guessing, where it is known.
    pub chance: Option<f64>,
    /// The accuracy of always naming the first option, the second, …: what a habit of the order is worth.
    pub always_letter: BTreeMap<String, f64>,
    /// Clean pictures, then each corruption and severity.
    pub cells: Vec<CellSummary>,
    /// Over all corrupted cells.
    pub robustness: Option<Robustness>,
    /// Over the cells whose corruption the model was trained on.
    pub seen: Option<Robustness>,
    /// Over the cells whose corruption it was not trained on.
    pub unseen: Option<Robustness>,
    /// What the benchmark's own script states of the clean pictures.
    pub scores: Vec<Score>,
    /// Clean pictures by what questions are filed under.
    pub groups: BTreeMap<String, Vec<Group>>,
    /// For tasks of image quality, by kind of picture.
    pub quality: BTreeMap<String, Quality>,
    /// Relative to a stored baseline, where one was given.
    pub corruption_errors: Option<CorruptionErrors>,
}

impl Summary {
    /// Of any records: of several models, tasks and shards.
    pub fn of(records: &[Record], bootstrap: &Bootstrap) -> Self {
        let runs = runs(records);
        let mut comparisons = Vec::new();
        for (at, run) in runs.iter().enumerate() {
            let first = runs[..at].iter().position(|first| comparable(first, run));
            let with = |first: usize| compare([first, at], [&runs[first], run], bootstrap);
            comparisons.extend(first.and_then(with));
        }
        Self { runs: runs.iter().map(|run| RunSummary::of(run, bootstrap)).collect(), comparisons }
    }
}

/// Two models, asked alike. Runs that differ in their settings too are not compared: it would not be known why.
fn comparable(a: &Run, b: &Run) -> bool {
    let same = |of: fn(&Record) -> String| of(a.first) == of(b.first);
    same(|r| r.task.clone()) && same(|r| r.scale.clone()) && a.first.seed == b.first.seed
}

impl RunSummary {
    /// Of one run.
    pub fn of(run: &Run, bootstrap: &Bootstrap) -> Self {
        let (first, clean) = (run.first, run.clean());
        let counts = Counts::of(&run.records);
        let robust = |part: fn(&Record) -> bool| Robustness::of(run, bootstrap, part);
        let benchmark = BENCHMARKS.iter().find(|benchmark| benchmark.tasks.contains(&first.task.as_str()));
        Self {
            task: first.task.clone(),
            version: first.version,
            model: first.model.clone(),
            sampling: first.sampling.clone(),
            pixels: first.pixels,
            seed: first.seed,
            counts,
            complete: counts.failed == 0,
            chance: run.chance(),
            always_letter: always_letter(&clean),
            cells: CellSummary::all(run),
            robustness: robust(|_| true),
            seen: robust(|record| record.seen == Some(true)),
            unseen: robust(|record| record.seen == Some(false)),
            scores: benchmark.map(|benchmark| (benchmark.of)(&clean)).unwrap_or_default(),
            groups: facets(&clean).into_iter().map(|key| (key.clone(), grouped(&clean, &key))).collect(),
            quality: Quality::of(run),
            corruption_errors: None,
        }
    }
}

/// Of questions whose answer is the letter of an option.
fn always_letter(clean: &[&Record]) -> BTreeMap<String, f64> {
    let letters = |record: &&Record| (0..record.order.len()).map(|at| letter(at).to_string());
    let lettered =
        clean.iter().copied().filter(|record| letters(record).any(|letter| letter == record.answer));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in lettered {
        *counts.entry(record.answer.clone()).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    counts.into_iter().map(|(letter, n)| (letter, n as f64 / all as f64)).collect()
}
