//! Pass@k: only the group's best rollout gets credit, its lead over the second.

use super::{Advantage, Outcome, each, moments, rewards};
use crate::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Advantage> = Entry {
    name: "pass-at-k",
    paper: "arXiv:2503.19595; verl's compute_grpo_passk_outcome_advantage",
    build: |v| Ok(Box::new(serde_json::from_value::<PassAtK>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PassAtK {
    epsilon: f64,
    /// Divide the lead by the group's unbiased standard deviation.
    std: bool,
}

impl Default for PassAtK {
    fn default() -> Self {
        Self { epsilon: 1e-6, std: true }
    }
}

impl Advantage for PassAtK {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        groups.iter().map(|group| self.one(group)).collect()
    }
}

impl PassAtK {
    fn one(&self, group: &[Outcome]) -> Vec<f64> {
        // total_cmp puts NaN above all numbers, so the unscored are left out first.
        let mut order: Vec<usize> = (0..group.len()).filter(|&i| !group[i].reward.is_nan()).collect();
        order.sort_by(|&a, &b| group[b].reward.total_cmp(&group[a].reward));
        let [best, second, ..] = order[..] else { return vec![0.0; group.len()] };
        let (_, std) = moments(rewards(group)).unwrap_or_default();
        let scale = if self.std { std + self.epsilon } else { 1.0 };
        let lead = (group[best].reward - group[second].reward) / scale;
        let mut credit_g = each(group, |_| lead);
        (0..group.len()).filter(|&i| i != best).for_each(|i| credit_g[i] = 0.0);
        credit_g
    }
}
