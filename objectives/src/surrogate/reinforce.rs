//! REINFORCE: `-A · log π`, no ratio and no bound.

use super::{Move, Surrogate};
use crate::{Entry, Result};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Surrogate> = Entry {
    name: "reinforce",
    paper: "Williams 1992; GPG, arXiv:2504.02546",
    build: |v| Ok(Box::new(serde_json::from_value::<Reinforce>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reinforce {}

impl Surrogate for Reinforce {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn per_token(&self, step: Move<'_>) -> Result<Tensor> {
        Ok((step.logp_n * step.advantage_n)?.neg()?)
    }
}
