//! The policy's entropy given a corrupted view, the second half of PAPO's double entropy.
//!
//! `sampled` is minus the log-probability of the tokens that were sampled given the clean image; with a
//! view computed without gradient (the authors' default) it is a constant and trains nothing.

use super::Term;
use crate::{Batch, Entry, Result, Scope, Signal};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "view-entropy",
    paper: "PAPO, arXiv:2507.06448",
    build: |v| Ok(Box::new(serde_json::from_value::<ViewEntropy>(v)?)),
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewEntropy {
    view: String,
    #[serde(default)]
    kind: Kind,
    /// Send a gradient through the view.
    #[serde(default)]
    gradient: bool,
    #[serde(default)]
    scope: Scope,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Full,
    #[default]
    Sampled,
}

impl Term for ViewEntropy {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        vec![self.signal()]
    }

    fn tracks(&self) -> Vec<Signal> {
        if self.gradient { self.needs() } else { vec![] }
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        let mut signal_n = batch.signal(ENTRY.name, self.signal())?.clone();
        if !self.gradient {
            signal_n = signal_n.detach();
        }
        match self.kind {
            Kind::Full => Ok(signal_n),
            Kind::Sampled => Ok(signal_n.neg()?),
        }
    }
}

impl ViewEntropy {
    fn signal(&self) -> Signal {
        match self.kind {
            Kind::Full => Signal::ViewEntropy(self.view.clone()),
            Kind::Sampled => Signal::View(self.view.clone()),
        }
    }
}
