//! How far a corrupted view moves the policy, token by token: PAPO's perception loss, ROMA's worst case.
//!
//! `KL(clean ‖ view)` is estimated on the tokens that were sampled given the clean image. Which branch
//! carries the gradient is a setting, because it decides what is really optimised (see [`crate::kl`]):
//! - `clean`, k3: the authors' PAPO and Q-Hawkeye. It descends `KL(view ‖ clean)` in the clean branch.
//! - `view`, k3: ROMA. Exactly the gradient of `KL(clean ‖ view)`; the clean policy is not dragged along.
//! - `both`: PAPO with its second forward pass; with k3+ it is the gradient of `KL(clean ‖ view)` in both.
//!
//! `fidelity` names PAPO's two readings: `authors` is k3 through the clean branch of a view that is scored
//! once for each batch of rollouts, `paper` is k3+ through both. PAPO wants the distance to grow (a
//! negative weight), ROMA to shrink.

use super::Term;
use crate::kl::{CEILING, Estimator, Kl};
use crate::{Batch, Branch, Entry, Result, Scope, Sequences, Signal};
use candle_core::Tensor;
use serde::Deserialize;
use serde::de::Error as _;

pub(super) const ENTRY: Entry<dyn Term> = Entry {
    name: "view-kl",
    paper: "PAPO, arXiv:2507.06448; Q-Hawkeye, arXiv:2601.22920; ROMA, arXiv:2605.09262",
    build: |v| {
        let settings = serde_json::from_value::<Settings>(v)?;
        Ok(Box::new(settings.resolve().map_err(serde_json::Error::custom)?))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Names of views; with several, `worst` says which one counts.
    views: Vec<String>,
    /// Sets what is not set: `estimator`, `through` and `stale`.
    fidelity: Option<Fidelity>,
    estimator: Option<Kl>,
    #[serde(default = "yes")]
    clamp: bool,
    through: Option<Branch>,
    /// Read the view under the weights that sampled, as PAPO does; it has no gradient then.
    stale: Option<bool>,
    #[serde(default)]
    worst: Worst,
    #[serde(default)]
    scope: Scope,
    /// Only this share of each answer's tokens counts, those with the largest values (PAPO's optional
    /// 0.2); the others are 0, and the denominator stays.
    #[serde(default)]
    top_p: Option<f64>,
    /// The value is at most this (PAPO's optional 0.2); a token over it has no gradient.
    #[serde(default)]
    cap: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fidelity {
    Authors,
    Paper,
}

/// Over what the worst of several views is taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Worst {
    #[default]
    Token,
    Sequence,
}

fn yes() -> bool {
    true
}

impl Settings {
    fn resolve(self) -> std::result::Result<ViewKl, String> {
        if self.views.is_empty() {
            return Err("`views` should name at least one view, but is empty".into());
        }
        let (estimator, through, stale) = match self.fidelity {
            Some(Fidelity::Authors) => (Estimator::K3, Branch::Clean, true),
            Some(Fidelity::Paper) => (Estimator::K3Plus, Branch::Both, false),
            None => (Estimator::K3, Branch::Clean, false),
        };
        let estimator = self.estimator.unwrap_or(Kl::Sampled(estimator));
        let (through, stale) = (self.through.unwrap_or(through), self.stale.unwrap_or(stale));
        if stale && through != Branch::Clean {
            return Err("a `stale` view has no gradient: `through` should be `clean`".into());
        }
        if stale && estimator == Kl::Full {
            return Err("a `stale` view has log-probabilities only: `estimator` should not be `full`".into());
        }
        if let Some(top_p) = self.top_p.filter(|p| !(*p > 0.0 && *p < 1.0)) {
            return Err(format!("`top_p` should be over 0 and under 1, but is {top_p}"));
        }
        let Self { views, clamp, worst, scope, top_p, cap, .. } = self;
        Ok(ViewKl { views, estimator, clamp, through, stale, worst, scope, top_p, cap })
    }
}

#[derive(Debug)]
struct ViewKl {
    views: Vec<String>,
    estimator: Kl,
    clamp: bool,
    through: Branch,
    stale: bool,
    worst: Worst,
    scope: Scope,
    top_p: Option<f64>,
    cap: Option<f64>,
}

impl Term for ViewKl {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn needs(&self) -> Vec<Signal> {
        self.views.iter().map(|view| self.signal(view)).collect()
    }

    fn tracks(&self) -> Vec<Signal> {
        match (self.through, self.estimator) {
            (Branch::Clean, Kl::Sampled(_)) => vec![],
            _ => self.needs(),
        }
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn ceiling(&self) -> Option<f64> {
        let clamped = self.clamp && matches!(self.estimator, Kl::Sampled(Estimator::K3 | Estimator::K3Plus));
        self.cap.or(clamped.then_some(CEILING))
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
        let Some((mut value_n, _)) = worst else { return Ok(batch.logp_n.zeros_like()?) };
        // The authors' order: first the largest tokens are chosen, then they are capped.
        if let Some(share) = self.top_p {
            let top_n = Tensor::new(top(&value_n, &batch.sequences, share)?, value_n.device())?;
            value_n = top_n.where_cond(&value_n, &value_n.zeros_like()?)?;
        }
        Ok(match self.cap {
            Some(cap) => value_n.minimum(cap)?,
            None => value_n,
        })
    }
}

impl ViewKl {
    fn signal(&self, view: &str) -> Signal {
        match (self.estimator, self.stale) {
            (Kl::Full, _) => Signal::ViewDivergence(view.into(), self.through),
            (_, true) => Signal::OldView(view.into()),
            (_, false) => Signal::View(view.into()),
        }
    }

    fn of(&self, batch: &Batch, view: &str) -> Result<Tensor> {
        let view_n = batch.signal(ENTRY.name, self.signal(view))?;
        let Kl::Sampled(estimator) = self.estimator else { return Ok(view_n.clone()) };
        let (clean_n, view_n) = match self.through {
            Branch::Clean => (batch.logp_n.clone(), view_n.detach()),
            Branch::View => (batch.logp_n.detach(), view_n.clone()),
            Branch::Both => (batch.logp_n.clone(), view_n.clone()),
        };
        estimator.per_token(&clean_n, &view_n, self.clamp)
    }
}

/// Which tokens of each sequence reach the quantile `1 - share` of its counted values (linear between
/// neighbours, as `torch.nanquantile`).
fn top(value_n: &Tensor, sequences: &Sequences, share: f64) -> Result<Vec<u8>> {
    let value_n = value_n.detach().to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?;
    let mut top_n = vec![0u8; value_n.len()];
    for range in sequences.ranges() {
        let counted = range.clone().filter(|&n| sequences.counted()[n]);
        let mut sorted: Vec<f64> = counted.map(|n| value_n[n]).collect();
        sorted.sort_by(f64::total_cmp);
        let place = (1.0 - share) * sorted.len().saturating_sub(1) as f64;
        let (low, high) = (place.floor() as usize, place.ceil() as usize);
        let (Some(below), Some(above)) = (sorted.get(low), sorted.get(high)) else { continue };
        let threshold = below + (above - below) * place.fract();
        range.clone().for_each(|n| top_n[n] = u8::from(value_n[n] >= threshold));
    }
    Ok(top_n)
}
