//! The policy's entropy. A positive weight lowers it, a negative one is the usual bonus.
//!
//! `sampled` is the mean surprisal of the sampled tokens, what PAPO calls entropy: its value estimates
//! the entropy, its expected gradient on-policy is exactly 0. `full` is the entropy of the whole
//! next-token distribution and has a real gradient.

use super::Term;
use crate::{Batch, Entry, Result, Signal};
use candle_core::Tensor;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "entropy",
    paper: "full: Williams and Peng 1991; sampled: PAPO, arXiv:2507.06448",
    build: |v| Ok(Box::new(serde_json::from_value::<Entropy>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Entropy {
    kind: Kind,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Full,
    Sampled,
}

impl Term for Entropy {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        match self.kind {
            Kind::Full => vec![Signal::Entropy],
            Kind::Sampled => vec![],
        }
    }

    fn tracks(&self) -> Vec<Signal> {
        self.needs()
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        match self.kind {
            Kind::Full => Ok(batch.signal(ENTRY.name, Signal::Entropy)?.clone()),
            Kind::Sampled => Ok(batch.logp_n.neg()?),
        }
    }
}
