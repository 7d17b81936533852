//! Numbers made of records alone: what a model scores, what corruption costs it, and whether a difference is one.
//!
//! Decides what each number means; `docs/evaluation.md` says it in words. Knows nothing of how answers came about. A
//! failed call is in no denominator: it is counted, and a run with one is called incomplete.
//!
//! To add a number of one cell: a function and a line in [`METRICS`]. To add what a benchmark states: a file under
//! `benchmarks/` and a line in [`BENCHMARKS`].

mod benchmarks;
mod cell;
mod compare;
mod counts;
mod errors;
mod groups;
mod quality;
mod robust;
mod run;
mod summary;

pub use benchmarks::{BENCHMARKS, Benchmark, Score};
pub use cell::{CellSummary, Drift};
pub use compare::{Comparison, Difference, compare};
pub use counts::Counts;
pub use errors::{CorruptionErrors, Errors};
pub use groups::{Group, facets, grouped};
pub use quality::{Agreement, Quality};
pub use robust::{Measure, Robustness};
pub use run::{Run, runs};
pub use summary::{RunSummary, Summary};

use crate::record::{Record, Verdict};
use serde_json::Value;

/// A number of one cell: the records of one kind of picture.
#[derive(Debug)]
pub struct Metric {
    /// The name in summaries.
    pub name: &'static str,
    /// `None` where the records do not define it.
    pub of: fn(&[&Record]) -> Option<f64>,
}

/// Every metric of a cell. All are over the answers that came.
pub const METRICS: &[Metric] = &[
    Metric { name: "accuracy", of: |records| Counts::of(records).accuracy() },
    Metric { name: "unparsed", of: |records| Counts::of(records).unparsed_share() },
    Metric { name: "score", of: |records| mean(records, |record| Some(record.score)) },
    Metric { name: "length", of: |records| mean(records, length) },
    Metric { name: "tokens", of: |records| mean(records, |record| record.tokens.map(f64::from)) },
    Metric { name: "truncated", of: truncated },
    Metric { name: "boxes/valid", of: |records| looks(records, |turn| Some(valid(turn))) },
    Metric { name: "boxes/area", of: |records| looks(records, |turn| turn["area"].as_f64()) },
];

/// Characters of the response.
fn length(record: &Record) -> Option<f64> {
    record.response.as_ref().map(|text| text.chars().count() as f64)
}

/// The share of responses that ended because they were too long, of those of which it is known.
fn truncated(records: &[&Record]) -> Option<f64> {
    mean(records, |record| record.finish.as_ref().map(|finish| f64::from(u8::from(finish == "length"))))
}

/// The mean over the turns before the answers, where a reply says where to look; of those that have the value.
fn looks(records: &[&Record], value: impl Fn(&Value) -> Option<f64>) -> Option<f64> {
    let came = records.iter().filter(|record| record.outcome != Verdict::Failed);
    let turns = came.flat_map(|record| &record.turns).filter(|turn| turn.get("reply").is_some());
    crate::stats::mean(&turns.filter_map(value).collect::<Vec<_>>())
}

/// Whether a reply named a part that could be shown.
fn valid(turn: &Value) -> f64 {
    f64::from(u8::from(turn.get("crop").is_some()))
}

/// The mean over the answers that came and have the value.
fn mean(records: &[&Record], value: impl Fn(&Record) -> Option<f64>) -> Option<f64> {
    let came = records.iter().filter(|record| record.outcome != Verdict::Failed);
    let values: Vec<f64> = came.filter_map(|record| value(record)).collect();
    crate::stats::mean(&values)
}
