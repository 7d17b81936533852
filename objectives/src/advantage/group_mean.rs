//! Dr.GRPO: the reward less the group's mean; the spread is not divided out.

use super::{Advantage, Outcome, each, moments, rewards};
use crate::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Advantage> = Entry {
    name: "group-mean",
    paper: "arXiv:2503.20783",
    build: |v| Ok(Box::new(serde_json::from_value::<GroupMean>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GroupMean {}

impl Advantage for GroupMean {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        let one = |group: &Vec<Outcome>| {
            let (mean, _) = moments(rewards(group)).unwrap_or_default();
            each(group, |o| o.reward - mean)
        };
        groups.iter().map(one).collect()
    }
}
