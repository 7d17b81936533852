//! `[[reward]]`: what an answer is worth. Knows no row of the rewards.

use foveate_objectives::Named;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One `[[reward]]`: a row of [`crate::reward::REWARDS`] with its settings and weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct RewardSpec {
    /// The row.
    pub reward: Named,
    /// What its value is multiplied by.
    pub weight: f64,
}

impl TryFrom<Named> for RewardSpec {
    type Error = String;

    fn try_from(mut reward: Named) -> Result<Self, String> {
        let weight = match reward.settings.remove("weight") {
            None => 1.0,
            Some(v) => v.as_f64().ok_or_else(|| {
                format!("reward `{}`: `weight` should be a number, but is {v}", reward.name)
            })?,
        };
        Ok(Self { reward, weight })
    }
}

impl From<RewardSpec> for Named {
    fn from(spec: RewardSpec) -> Self {
        spec.reward.with("weight", Value::from(spec.weight))
    }
}
