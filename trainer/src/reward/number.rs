//! 1 for a number within a tolerance of the answer, 0 for any other.

use super::{Answer, Reward};
use crate::Result;
use foveate_datasets::grade::{boxed, number};
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "number",
    paper: "relative 0.05 is the relaxed accuracy of ChartQA, arXiv:2203.10244",
    build: |v| Ok(Box::new(serde_json::from_value::<Number>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Number {
    /// In the answer's unit.
    absolute: f64,
    /// As a share of the answer.
    relative: f64,
}

impl Default for Number {
    fn default() -> Self {
        let number::Tolerance { absolute, relative } = number::Tolerance::default();
        Self { absolute, relative }
    }
}

impl Reward for Number {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let truth = &answer.sample.answer;
        // A truth that is no number is the data's fault: nothing can be said.
        let Some(truth) = number::parse(boxed(truth).unwrap_or(truth)) else { return Ok(None) };
        let tolerance = number::Tolerance { absolute: self.absolute, relative: self.relative };
        Ok(Some(number::grade(truth, tolerance, answer.text).score.into()))
    }
}
