//! REINFORCE++ with a group baseline: the reward less the group's mean, then whitened over all the
//! tokens of the batch.

use super::{Advantage, Outcome, each, moments, rewards};
use crate::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Advantage> = Entry {
    name: "reinforce-pp",
    paper: "arXiv:2501.03262; verl's compute_reinforce_plus_plus_baseline_outcome_advantage",
    build: |v| Ok(Box::new(serde_json::from_value::<ReinforcePp>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReinforcePp {}

impl Advantage for ReinforcePp {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        let centred: Vec<Vec<f64>> = groups
            .iter()
            .map(|group| {
                let (mean, _) = moments(rewards(group)).unwrap_or_default();
                each(group, |o| o.reward - mean)
            })
            .collect();
        let scored = || {
            let pairs = groups.iter().flatten().zip(centred.iter().flatten());
            pairs.filter(|(o, _)| !o.reward.is_nan()).map(|(o, a)| (o.tokens as f64, *a))
        };
        let tokens: f64 = scored().map(|(t, _)| t).sum();
        let mean = scored().map(|(t, a)| t * a).sum::<f64>() / tokens.max(1.0);
        let squares: f64 = scored().map(|(t, a)| t * (a - mean).powi(2)).sum();
        let scale = 1.0 / (squares / (tokens - 1.0).max(1.0) + 1e-8).sqrt();
        if squares == 0.0 {
            return centred;
        }
        let whiten = |(group, advantage_g): (&Vec<Outcome>, Vec<f64>)| {
            let pairs = group.iter().zip(advantage_g);
            pairs.map(|(o, a)| if o.reward.is_nan() { 0.0 } else { (a - mean) * scale }).collect()
        };
        groups.iter().zip(centred).map(whiten).collect()
    }
}
