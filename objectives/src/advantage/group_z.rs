//! GRPO: the z-score in the group, `(r - mean) / (std + epsilon)`, std unbiased.

use super::{Advantage, Outcome, each, moments, rewards};
use crate::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Advantage> = Entry {
    name: "group-z",
    paper: "arXiv:2402.03300; epsilon 1e-6 in verl and EasyR1, 1e-4 in TRL",
    build: |v| Ok(Box::new(serde_json::from_value::<GroupZ>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GroupZ {
    epsilon: f64,
    std: Spread,
}

/// Over what the standard deviation is taken; the mean is always the group's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Spread {
    Group,
    Batch,
}

impl Default for GroupZ {
    fn default() -> Self {
        Self { epsilon: 1e-6, std: Spread::Group }
    }
}

impl Advantage for GroupZ {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        let batch = moments(groups.iter().flat_map(|g| rewards(g)));
        let one = |group: &Vec<Outcome>| {
            let (mean, std) = moments(rewards(group)).unwrap_or_default();
            let std = match self.std {
                Spread::Group => std,
                Spread::Batch => batch.unwrap_or_default().1,
            };
            each(group, |o| (o.reward - mean) / (std + self.epsilon))
        };
        groups.iter().map(one).collect()
    }
}
