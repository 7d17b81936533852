//! 1 for mathematics equal to the answer, 0 for any other: `\boxed{\frac{3}{4}}` is `0.75`.
//!
//! Bounded in time by construction: texts over a length are compared as text, nesting has a limit, and
//! nothing is searched.

use super::{Answer, Reward};
use crate::Result;
use foveate_datasets::grade;
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "math",
    paper: "EasyR1's and PAPO's accuracy (mathruler), by this project's own grader",
    build: |v| Ok(Box::new(serde_json::from_value::<Math>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Math {
    /// Only what stands in the last `\boxed{}` counts; without one the answer is worth 0.
    boxed: bool,
}

impl Default for Math {
    fn default() -> Self {
        Self { boxed: true }
    }
}

impl Reward for Math {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        if self.boxed && grade::boxed(answer.text).is_none() {
            return Ok(Some(0.0));
        }
        Ok(Some(grade::math::grade(&answer.sample.answer, answer.text).score.into()))
    }
}
