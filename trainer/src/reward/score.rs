//! How near a score comes: `exp(-|s - answer| / tau)`, both clipped to the scale; 0 for an answer in which
//! no number can be read.

use super::{Answer, Reward};
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

    fn score(&self, answer: &Answer<'_>) -> f64 {
        let read = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
        let clip = |x: f64| x.clamp(self.low, self.high);
        // A truth that is no number is the data's fault, not the answer's: nothing can be said.
        let Some(truth) = read(&answer.sample.answer) else { return f64::NAN };
        let said = answer.grade.parsed.as_deref().and_then(read);
        said.map_or(0.0, |said| (-(clip(said) - clip(truth)).abs() / self.tau).exp())
    }
}
