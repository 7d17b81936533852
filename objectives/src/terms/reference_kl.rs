//! `KL(policy ‖ reference)`, which keeps the policy near the model it started from.

use super::Term;
use crate::kl::Estimator;
use crate::{Batch, Entry, Result, Signal};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "reference-kl",
    paper: "arXiv:2402.03300 eq. 4; estimators of http://joschu.net/blog/kl-approx.html",
    build: |v| Ok(Box::new(serde_json::from_value::<ReferenceKl>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ReferenceKl {
    estimator: Estimator,
    /// Bound the estimate as verl and EasyR1 do; TRL does not.
    clamp: bool,
}

impl Default for ReferenceKl {
    fn default() -> Self {
        Self { estimator: Estimator::K3, clamp: true }
    }
}

impl Term for ReferenceKl {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        vec![Signal::Reference]
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        let reference_n = batch.signal(ENTRY.name, Signal::Reference)?.detach();
        self.estimator.per_token(&batch.logp_n, &reference_n, self.clamp)
    }
}
