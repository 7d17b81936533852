//! How near a score comes: `exp(-|s - answer| / tau)`, both clipped to the scale; 0 for an answer in which
//! no number can be read.
//!
//! The authors read a score in two ways. For the reward it is digits and dots only, so that "-3" and "3/5"
//! are no scores; for the uncertainty a sign may stand before it ([`signed`]).

use super::{Answer, Reward};
use crate::Result;
use foveate_datasets::grade::zone;
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "score",
    paper: "Q-Hawkeye, arXiv:2601.22920; tau 0.3 on scores of 1 to 5",
    build: |v| Ok(Box::new(serde_json::from_value::<Score>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Score {
    tau: f64,
    low: f64,
    high: f64,
}

impl Default for Score {
    fn default() -> Self {
        Self { tau: 0.3, low: 1.0, high: 5.0 }
    }
}

impl Reward for Score {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let clip = |x: f64| x.clamp(self.low, self.high);
        // A truth that is no number is the data's fault, not the answer's: nothing can be said.
        let Some(truth) = signed(&answer.sample.answer) else { return Ok(None) };
        let said = unsigned(zone(answer.text));
        Ok(Some(said.map_or(0.0, |said| (-(clip(said) - clip(truth)).abs() / self.tau).exp())))
    }
}

/// A number of digits with at most one dot, and nothing else.
pub(super) fn unsigned(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|x: &f64| plain && x.is_finite())
}

/// The same, perhaps with a sign.
pub(crate) fn signed(text: &str) -> Option<f64> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    unsigned(digits).map(|x| sign * x)
}
