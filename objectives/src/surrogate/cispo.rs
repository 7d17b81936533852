//! CISPO: REINFORCE weighted by the clipped ratio, which gets no gradient; no token is ever silenced.

use super::{Move, Surrogate};
use crate::{Entry, Result};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Surrogate> = Entry {
    name: "cispo",
    paper: "arXiv:2506.13585; TRL bounds only above, verl on both sides",
    build: |v| Ok(Box::new(serde_json::from_value::<Cispo>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cispo {
    clip_low: Option<f64>,
    clip_high: f64,
}

impl Default for Cispo {
    fn default() -> Self {
        Self { clip_low: None, clip_high: 0.2 }
    }
}

impl Surrogate for Cispo {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn per_token(&self, step: Move<'_>) -> Result<Tensor> {
        let low = self.clip_low.map_or(0.0, |low| 1.0 - low);
        let weight_n = step.log_ratio_n.detach().exp()?.clamp(low, 1.0 + self.clip_high)?;
        Ok(((weight_n * step.advantage_n)? * step.logp_n)?.neg()?)
    }
}
