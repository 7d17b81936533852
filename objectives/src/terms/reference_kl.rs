//! `KL(policy ‖ reference)`, which keeps the policy near the model it started from.

use super::Term;
use crate::kl::{CEILING, Estimator, Kl};
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
    estimator: Kl,
    /// Bound the estimate as verl and EasyR1 do; TRL does not.
    clamp: bool,
    /// Multiply by the ratio to the weights that sampled, so that the estimate is right after them too
    /// (TRL's use_bias_correction_kl).
    bias_correction: bool,
}

impl Default for ReferenceKl {
    fn default() -> Self {
        Self { estimator: Kl::Sampled(Estimator::K3), clamp: true, bias_correction: false }
    }
}

impl Term for ReferenceKl {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        match self.estimator {
            Kl::Sampled(_) => vec![Signal::Reference],
            Kl::Full => vec![Signal::ReferenceDivergence],
        }
    }

    fn tracks(&self) -> Vec<Signal> {
        if self.estimator == Kl::Full { self.needs() } else { vec![] }
    }

    fn ceiling(&self) -> Option<f64> {
        (self.clamp && self.estimator == Kl::Sampled(Estimator::K3)).then_some(CEILING)
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        let value_n = match self.estimator {
            Kl::Full => batch.signal(ENTRY.name, Signal::ReferenceDivergence)?.clone(),
            Kl::Sampled(estimator) => {
                let reference_n = batch.signal(ENTRY.name, Signal::Reference)?.detach();
                estimator.per_token(&batch.logp_n, &reference_n, self.clamp)?
            }
        };
        match &batch.old_n {
            Some(old_n) if self.bias_correction => {
                let ratio_n = (&batch.logp_n - old_n.detach())?.clamp(-20.0, 20.0)?.exp()?;
                Ok((value_n * ratio_n)?)
            }
            _ => Ok(value_n),
        }
    }
}
