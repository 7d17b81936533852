//! Leave-one-out: the reward less the mean of the others, `n/(n-1) · (r - mean)`.

use super::{Advantage, Outcome, each, moments, rewards};
use crate::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Advantage> = Entry {
    name: "rloo",
    paper: "arXiv:2402.14740",
    build: |v| Ok(Box::new(serde_json::from_value::<Rloo>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rloo {}

impl Advantage for Rloo {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        let one = |group: &Vec<Outcome>| {
            let (mean, _) = moments(rewards(group)).unwrap_or_default();
            let n = rewards(group).filter(|r| !r.is_nan()).count() as f64;
            each(group, |o| n / (n - 1.0) * (o.reward - mean))
        };
        groups.iter().map(one).collect()
    }
}
