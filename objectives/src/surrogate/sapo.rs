//! SAPO: a sigmoid in place of the clip, `-A · 4/τ · sigmoid(τ(r - 1))`, with its own τ for each sign.

use super::{Move, Surrogate};
use crate::{Entry, Result};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Surrogate> = Entry {
    name: "sapo",
    paper: "arXiv:2511.20347; TRL",
    build: |v| Ok(Box::new(serde_json::from_value::<Sapo>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Sapo {
    tau_pos: f64,
    tau_neg: f64,
}

impl Default for Sapo {
    fn default() -> Self {
        Self { tau_pos: 1.0, tau_neg: 1.05 }
    }
}

impl Surrogate for Sapo {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn per_token(&self, step: Move<'_>) -> Result<Tensor> {
        let ratio_n = step.log_ratio_n.exp()?;
        let zeros_n = ratio_n.zeros_like()?.detach();
        let good_n = step.advantage_n.gt(0.0)?;
        let tau_n = good_n.where_cond(&(&zeros_n + self.tau_pos)?, &(&zeros_n + self.tau_neg)?)?;
        // sigmoid(x) = (1 + tanh(x/2)) / 2: candle's own sigmoid lives in candle-nn.
        let gate_n = ((((&tau_n * (ratio_n - 1.0)?)? * 0.5)?.tanh()? + 1.0)? * 0.5)?;
        Ok(((gate_n * (tau_n.recip()? * 4.0)?)? * step.advantage_n)?.neg()?)
    }
}
