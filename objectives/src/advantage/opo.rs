//! OPO: the baseline is the mean reward weighted by length, which is optimal when the gradient's
//! norm grows with the number of tokens.

use super::{Advantage, Outcome, each};
use crate::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Advantage> = Entry {
    name: "opo",
    paper: "arXiv:2505.23585",
    build: |v| Ok(Box::new(serde_json::from_value::<Opo>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Opo {}

impl Advantage for Opo {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn of(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        let one = |group: &Vec<Outcome>| {
            let scored = || group.iter().filter(|o| !o.reward.is_nan());
            let tokens: f64 = scored().map(|o| o.tokens as f64).sum();
            let weighted: f64 = scored().map(|o| o.tokens as f64 * o.reward).sum();
            each(group, |o| o.reward - weighted / tokens.max(1.0))
        };
        groups.iter().map(one).collect()
    }
}
