//! The task's own grade: 1 for a right answer, 0 for a wrong one or none.

use super::{Answer, Reward};
use crate::Result;
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "exact",
    paper: "the grading of the task",
    build: |v| Ok(Box::new(serde_json::from_value::<Exact>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Exact {}

impl Reward for Exact {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        Ok(Some(answer.grade.score.into()))
    }
}
