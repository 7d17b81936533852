//! 1 for the right option of a multiple-choice question, by its letter or its text, 0 for any other.

use super::{Answer, Reward};
use crate::Result;
use foveate_datasets::grade;
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "choice",
    paper: "the options of MME-RealWorld and V*; graded as in evaluation",
    build: |v| Ok(Box::new(serde_json::from_value::<Choice>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Choice {}

impl Reward for Choice {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let sample = answer.sample;
        // A question without options has no right one.
        let grade = (!sample.choices.is_empty())
            .then(|| grade::choice::grade(&sample.answer, &sample.choices, answer.text));
        Ok(grade.map(|grade| grade.score.into()))
    }
}
