//! Policy x task x corruption to records, metrics and reports: so far the central types.
//!
//! Decides what is remembered of an answer and how numbers are made of records alone. Knows nothing of how
//! answers come about; whoever runs a policy on a task writes [`Record`]s. To add a metric: a function and
//! a line in [`METRICS`].

use foveate_datasets::Outcome;
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// One answer to one question about one, perhaps corrupted, picture: a line of `records.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The task's name.
    pub task: String,
    /// Its version: records of different versions never mix.
    pub version: u32,
    /// The sample's id.
    pub sample: String,
    /// The corruption's name, `None` for the clean picture.
    pub corruption: Option<String>,
    /// 0 for the clean picture, else 1 to 5.
    pub severity: u8,
    /// Of the corruption and of sampling.
    pub seed: u64,
    /// What was said, `None` where the call failed.
    pub response: Option<String>,
    /// What it was worth.
    pub verdict: Verdict,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The right answer.
    Right,
    /// Another answer.
    Wrong,
    /// No answer could be read in the response.
    Unparsed,
    /// There was no response: never counted as wrong.
    Failed,
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Right => Self::Right,
            Outcome::Wrong => Self::Wrong,
            Outcome::Unparsed => Self::Unparsed,
        }
    }
}

/// Who answers: a model of this process, or a server elsewhere.
pub trait Policy {
    /// What went wrong with a call.
    type Error: std::error::Error;

    /// An answer to each prompt about its pictures, in order.
    ///
    /// # Errors
    /// The policy as a whole cannot answer; a single call that failed is an `Err` of the list.
    fn answer(&mut self, asked: &[Asked]) -> Result<Vec<Result<String, Self::Error>>, Self::Error>;
}

/// A question as a policy gets it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The user's turn, `<image>` marks included.
    pub prompt: String,
    /// Its pictures, corrupted already.
    pub images: Vec<RgbImage>,
}

/// A number made of records.
#[derive(Debug)]
pub struct Metric {
    /// The name in summaries.
    pub name: &'static str,
    /// `None` where the records do not define it.
    pub of: fn(&[Record]) -> Option<f64>,
}

/// Every metric.
pub const METRICS: &[Metric] = &[
    Metric { name: "accuracy", of: |records| share(records, Verdict::Right) },
    Metric { name: "unparsed", of: |records| share(records, Verdict::Unparsed) },
];

/// The share of a verdict among the answers that came.
fn share(records: &[Record], verdict: Verdict) -> Option<f64> {
    let came = records.iter().filter(|record| record.verdict != Verdict::Failed).count();
    let counted = records.iter().filter(|record| record.verdict == verdict).count();
    (came > 0).then(|| counted as f64 / came as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(verdict: Verdict) -> Record {
        Record {
            task: "shapes".into(),
            version: 1,
            sample: "1".into(),
            corruption: None,
            severity: 0,
            seed: 0,
            response: None,
            verdict,
        }
    }

    #[test]
    fn a_failed_call_is_no_wrong_answer() {
        let all = [Verdict::Right, Verdict::Wrong, Verdict::Unparsed, Verdict::Right, Verdict::Failed];
        let records = all.map(record);
        let values: Vec<_> = METRICS.iter().map(|metric| (metric.of)(&records)).collect();
        assert_eq!(values, [Some(0.5), Some(0.25)]);
        assert!(METRICS.iter().all(|metric| (metric.of)(&records[4..]).is_none()));
    }

    #[test]
    fn a_record_is_a_line_and_back() {
        let line = serde_json::to_string(&record(Verdict::Unparsed)).unwrap();
        assert!(line.contains("\"verdict\":\"unparsed\"") && !line.contains('\n'));
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record(Verdict::Unparsed));
    }
}
