//! A policy loss on a corrupted view, with the credit that was earned on the clean image: ROMA's
//! auxiliary term.
//!
//! The ratio is taken between the view now and the same view under the weights that sampled, so it is 1
//! at the first update. The clean log-probabilities as its denominator would measure the corruption, and
//! the clip would throw the term away.

use super::Term;
use crate::surrogate::{Move, SURROGATES};
use crate::{Batch, Entry, Named, Result, Scope, Signal, Surrogate};
use candle_core::Tensor;
use serde::Deserialize;
use serde::de::Error as _;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "view-policy",
    paper: "ROMA, arXiv:2605.09262; DrAC, arXiv:2006.12862",
    build: |v| {
        let settings = serde_json::from_value::<Settings>(v)?;
        let surrogate = settings.surrogate.build("surrogate", SURROGATES);
        let surrogate = surrogate.map_err(serde_json::Error::custom)?;
        Ok(Box::new(ViewPolicy { view: settings.view, scope: settings.scope, surrogate }))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    view: String,
    #[serde(default = "ppo_clip")]
    surrogate: Named,
    #[serde(default)]
    scope: Scope,
}

fn ppo_clip() -> Named {
    Named::new("ppo-clip")
}

#[derive(Debug)]
struct ViewPolicy {
    view: String,
    scope: Scope,
    surrogate: Box<dyn Surrogate>,
}

impl Term for ViewPolicy {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        vec![Signal::View(self.view.clone()), Signal::OldView(self.view.clone())]
    }

    fn tracks(&self) -> Vec<Signal> {
        vec![Signal::View(self.view.clone())]
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        let logp_n = batch.signal(ENTRY.name, Signal::View(self.view.clone()))?;
        let old_n = batch.signal(ENTRY.name, Signal::OldView(self.view.clone()))?.detach();
        let log_ratio_n = (logp_n - old_n)?.clamp(-20.0, 20.0)?;
        let advantage_n = &batch.advantage_n;
        self.surrogate.per_token(Move { log_ratio_n: &log_ratio_n, logp_n, advantage_n, batch })
    }
}
