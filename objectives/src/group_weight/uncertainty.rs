//! Q-Hawkeye: groups whose answers scatter count less, `exp(-alpha · u)` with `u` the population variance
//! of the scores that could be read, over the largest variance that the scale allows.
//!
//! The authors' quirk is kept: with fewer than two scores read, `u` is 0 and the group counts in full.

use super::GroupWeight;
use crate::{Entry, Outcome};
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn GroupWeight> = Entry {
    name: "score-uncertainty",
    paper: "Q-Hawkeye, arXiv:2601.22920; alpha 0.2 on scores of 1 to 5",
    build: |v| Ok(Box::new(serde_json::from_value::<Uncertainty>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Uncertainty {
    alpha: f64,
    low: f64,
    high: f64,
}

impl Default for Uncertainty {
    fn default() -> Self {
        Self { alpha: 0.2, low: 1.0, high: 5.0 }
    }
}

impl GroupWeight for Uncertainty {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, group: &[Outcome]) -> f64 {
        let read = group.iter().map(|o| o.value).filter(|v| v.is_finite());
        let scores: Vec<f64> = read.map(|v| v.clamp(self.low, self.high)).collect();
        if scores.len() < 2 {
            return 1.0;
        }
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n;
        let most = 0.25 * (self.high - self.low).powi(2);
        (-self.alpha * (variance / most).clamp(0.0, 1.0)).exp()
    }
}
