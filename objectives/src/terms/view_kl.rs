//! How far a corrupted view moves the policy, token by token: PAPO's perception loss, ROMA's worst case.
//!
//! `KL(clean ‖ view)` is estimated on the tokens that were sampled given the clean image. Which branch
//! carries the gradient is a setting, because it decides what is really optimised (see [`crate::kl`]):
//! - `clean`, k3: the authors' PAPO and Q-Hawkeye. It descends `KL(view ‖ clean)` in the clean branch.
//! - `view`, k3: ROMA. Exactly the gradient of `KL(clean ‖ view)`; the clean policy is not dragged along.
//! - `both`: PAPO with its second forward pass.
//!
//! PAPO wants the distance to grow (a negative weight), ROMA to shrink.

use super::Term;
use crate::kl::Estimator;
use crate::{Batch, Entry, Result, Scope, Signal};
use candle_core::Tensor;
use serde::Deserialize;
use serde::de::Error as _;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "view-kl",
    paper: "PAPO, arXiv:2507.06448; Q-Hawkeye, arXiv:2601.22920; ROMA, arXiv:2605.09262",
    build: |v| {
        let term = serde_json::from_value::<ViewKl>(v)?;
        if term.views.is_empty() {
            return Err(serde_json::Error::custom("`views` should name at least one view, but is empty"));
        }
        if term.stale && term.through != Branch::Clean {
            return Err(serde_json::Error::custom(
                "a `stale` view has no gradient: `through` should be `clean`",
            ));
        }
        Ok(Box::new(term))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewKl {
    /// Names of views; with several, `worst` says which one counts.
    views: Vec<String>,
    #[serde(default = "k3")]
    estimator: Estimator,
    #[serde(default = "yes")]
    clamp: bool,
    #[serde(default)]
    through: Branch,
    /// Read the view under the weights that sampled, as PAPO does; it has no gradient then.
    #[serde(default)]
    stale: bool,
    #[serde(default)]
    worst: Worst,
    #[serde(default)]
    scope: Scope,
    /// The value is at most this (PAPO's optional 0.2); a token over it has no gradient.
    #[serde(default)]
    cap: Option<f64>,
}

/// Which log-probabilities carry the gradient.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Branch {
    #[default]
    Clean,
    View,
    Both,
}

/// Over what the worst of several views is taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Worst {
    #[default]
    Token,
    Sequence,
}

fn k3() -> Estimator {
    Estimator::K3
}

fn yes() -> bool {
    true
}

impl Term for ViewKl {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        let signal = if self.stale { Signal::OldView } else { Signal::View };
        self.views.iter().cloned().map(signal).collect()
    }

    fn tracks(&self) -> Vec<Signal> {
        if self.through == Branch::Clean { vec![] } else { self.needs() }
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn per_token(&self, batch: &Batch) -> Result<Tensor> {
        let mut worst: Option<(Tensor, Tensor)> = None;
        for view in &self.views {
            let value_n = self.of(batch, view)?;
            // The choice is made on values: the views that lose get no gradient.
            let rank_n = match self.worst {
                Worst::Token => value_n.detach(),
                Worst::Sequence => batch.sequences.mean_over_sequence(&value_n)?.detach(),
            };
            worst = Some(match worst {
                None => (value_n, rank_n),
                Some((best_n, best_rank_n)) => {
                    let wins_n = rank_n.gt(&best_rank_n)?;
                    (wins_n.where_cond(&value_n, &best_n)?, wins_n.where_cond(&rank_n, &best_rank_n)?)
                }
            });
        }
        match worst {
            Some((value_n, _)) => Ok(value_n),
            None => Ok(batch.logp_n.zeros_like()?),
        }
    }
}

impl ViewKl {
    fn of(&self, batch: &Batch, view: &str) -> Result<Tensor> {
        let signal = if self.stale { Signal::OldView } else { Signal::View };
        let view_n = batch.signal(ENTRY.name, signal(view.to_string()))?;
        let (clean_n, view_n) = match self.through {
            Branch::Clean => (batch.logp_n.clone(), view_n.detach()),
            Branch::View => (batch.logp_n.detach(), view_n.clone()),
            Branch::Both => (batch.logp_n.clone(), view_n.clone()),
        };
        let value_n = self.estimator.per_token(&clean_n, &view_n, self.clamp)?;
        Ok(match self.cap {
            Some(cap) => value_n.minimum(cap)?,
            None => value_n,
        })
    }
}
