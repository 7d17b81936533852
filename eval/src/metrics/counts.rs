//! How many of each outcome.

use crate::record::{Record, Verdict};
use crate::stats::{CONFIDENCE, Interval, wilson};
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;

/// Outcomes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Right answers.
    pub right: usize,
    /// Wrong answers.
    pub wrong: usize,
    /// Responses in which no answer could be read.
    pub unparsed: usize,
    /// Calls without a response, in no share below.
    pub failed: usize,
}

impl Counts {
    /// Counts `records`.
    pub fn of<R: Borrow<Record>>(records: &[R]) -> Self {
        let mut out = Self::default();
        for record in records {
            let record: &Record = record.borrow();
            out.add(record.outcome);
        }
        out
    }

    /// One more.
    pub fn add(&mut self, outcome: Verdict) {
        match outcome {
            Verdict::Right => self.right += 1,
            Verdict::Wrong => self.wrong += 1,
            Verdict::Unparsed => self.unparsed += 1,
            Verdict::Failed => self.failed += 1,
        }
    }

    /// Answers that came.
    pub fn came(&self) -> usize {
        self.right + self.wrong + self.unparsed
    }

    /// Right answers of those that came.
    pub fn accuracy(&self) -> Option<f64> {
        self.share(self.right)
    }

    /// Responses without a readable answer, of those that came.
    pub fn unparsed_share(&self) -> Option<f64> {
        self.share(self.unparsed)
    }

    /// Wilson's interval of [`Counts::accuracy`].
    pub fn interval(&self) -> Option<Interval> {
        wilson(self.right, self.came(), CONFIDENCE)
    }

    fn share(&self, part: usize) -> Option<f64> {
        (self.came() > 0).then(|| part as f64 / self.came() as f64)
    }
}
