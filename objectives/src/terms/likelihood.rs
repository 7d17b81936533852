//! The cross-entropy of sampled answers, by default of right ones: PAPO's optional supervised term.

use super::Term;
use crate::{Batch, Entry, Result, Scope};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "likelihood",
    paper: "PAPO's use_sft_loss, arXiv:2507.06448 (1e-3 on right answers, off by default)",
    build: |v| Ok(Box::new(serde_json::from_value::<Likelihood>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Likelihood {
    scope: Scope,
}

impl Default for Likelihood {
    fn default() -> Self {
        Self { scope: Scope::Correct }
    }
}

impl Term for Likelihood {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        Ok(batch.logp_n.neg()?)
    }
}
