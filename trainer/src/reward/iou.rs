//! How well the part that was looked at is the part that the question is about.

use super::{Answer, Reward};
use crate::Result;
use crate::turns::{hull, intersection_over_union};
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "iou",
    paper: "intersection over union of two boxes; MGPO has no such reward",
    build: |v| Ok(Box::new(serde_json::from_value::<Iou>(v)?)),
};

/// The overlap of the last box with the one around `meta.targets`; 0 without a box, `None` without targets.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Iou {
    /// If over 0: 1 for at least this overlap, else 0.
    threshold: f64,
}

impl Reward for Iou {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let Some(hull) = hull(answer.sample) else { return Ok(None) };
        let overlap = answer.region.map_or(0.0, |region| intersection_over_union(region, hull));
        Ok(Some(match self.threshold > 0.0 {
            true => f64::from(u8::from(overlap >= self.threshold)),
            false => overlap,
        }))
    }
}
