//! The sum of it all: one policy loss and any number of terms, each reduced by its own rule.

use crate::advantage::ADVANTAGES;
use crate::correction::{self, CORRECTIONS};
use crate::group_weight::GROUP_WEIGHTS;
use crate::ratio::RATIOS;
use crate::reduction::{REDUCTIONS, reduce};
use crate::spread::Spread;
use crate::surrogate::{Move, SURROGATES};
use crate::terms::TERMS;
use crate::{
    Advantage, Anneal, Batch, Correction, Diagnostics, GroupWeight, ObjectiveSpec, Outcome, Place, Ratio,
    Reduction, Result, Scope, Signal, Surrogate, Term, TermSpec, Totals,
};
use candle_core::{DType, Tensor};
use serde_json::{Number, Value};

/// A term as it is used.
#[derive(Debug)]
struct Summand {
    term: Box<dyn Term>,
    /// Its name, numbered where another term of the recipe has it too.
    label: String,
    weight: f64,
    anneal: Option<Anneal>,
    place: Place,
    reduction: Option<Box<dyn Reduction>>,
}

/// A policy loss with its terms. Knows no model: [`Objective::needs`] says what to compute.
#[derive(Debug)]
pub struct Objective {
    advantage: Box<dyn Advantage>,
    group_weight: Option<Box<dyn GroupWeight>>,
    ratio: Box<dyn Ratio>,
    surrogate: Box<dyn Surrogate>,
    correction: Option<Box<dyn Correction>>,
    reduction: Box<dyn Reduction>,
    summands: Vec<Summand>,
}

/// The loss of one micro-batch: its part of the mini-batch's loss.
#[derive(Debug)]
pub struct Loss {
    /// What to back-propagate.
    pub total: Tensor,
    /// The policy loss and each weighted term, by name, in recipe order.
    pub parts: Vec<(String, f64)>,
    /// Each term without its weight.
    pub raw: Vec<(String, f64)>,
    /// Each term's values over the tokens that it is about.
    pub spreads: Vec<(String, Spread)>,
}

impl Objective {
    /// Builds what a recipe says.
    ///
    /// # Errors
    /// [`crate::Error::Unknown`] or [`crate::Error::Config`] for a name or a setting that a table does not have.
    pub fn new(spec: &ObjectiveSpec, terms: &[TermSpec]) -> Result<Self> {
        let mut surrogate = spec.surrogate.clone();
        let clips =
            [("clip_low", spec.clip_low), ("clip_high", spec.clip_high), ("dual_clip", spec.dual_clip)];
        for (key, value) in clips {
            if let Some(value) = value.and_then(Number::from_f64) {
                surrogate.settings.insert(key.into(), Value::Number(value));
            }
        }
        let summand = |(i, t): (usize, &TermSpec)| -> Result<Summand> {
            let reduction = t.reduction.as_ref().map(|r| r.build("reduction", REDUCTIONS)).transpose()?;
            let (term, name) = (t.term.build("term", TERMS)?, &t.term.name);
            let before = terms[..i].iter().filter(|other| other.term.name == *name).count();
            let label = if before == 0 { name.clone() } else { format!("{name}-{}", before + 1) };
            Ok(Summand { term, label, weight: t.weight, anneal: t.anneal, place: t.place, reduction })
        };
        let (group_weight, correction) = (spec.group_weight.as_ref(), spec.correction.as_ref());
        Ok(Self {
            advantage: spec.advantage.build("advantage", ADVANTAGES)?,
            group_weight: group_weight.map(|w| w.build("group_weight", GROUP_WEIGHTS)).transpose()?,
            ratio: spec.ratio.build("ratio", RATIOS)?,
            surrogate: surrogate.build("surrogate", SURROGATES)?,
            correction: correction.map(|c| c.build("correction", CORRECTIONS)).transpose()?,
            reduction: spec.reduction.build("reduction", REDUCTIONS)?,
            summands: terms.iter().enumerate().map(summand).collect::<Result<_>>()?,
        })
    }

    /// The signals a batch must carry: what the trainer has to compute, and nothing more. A term of
    /// weight 0 asks for nothing.
    pub fn needs(&self) -> Vec<Signal> {
        let mut needs = signals(self.active(Place::Loss), |term| term.needs());
        needs.extend(self.surrogate.needs());
        needs.extend(self.correction.iter().map(|_| Signal::Sampled));
        needs.sort();
        needs.dedup();
        needs
    }

    /// Those of [`Objective::needs`] that must carry a gradient.
    pub fn tracks(&self) -> Vec<Signal> {
        signals(self.active(Place::Loss), |term| term.tracks())
    }

    /// The signals that [`Objective::penalties`] reads.
    pub fn reward_needs(&self) -> Vec<Signal> {
        signals(self.active(Place::Reward), |term| term.needs())
    }

    /// Whether a term stands in the reward.
    pub fn has_penalties(&self) -> bool {
        self.active(Place::Reward).next().is_some()
    }

    /// Which sequences the terms in the loss read the view `view` of: one scope if they agree, else all.
    pub fn scope_of(&self, view: &str) -> Scope {
        let reads = |s: &&Summand| s.term.needs().iter().any(|signal| signal.view() == Some(view));
        let mut scopes = self.active(Place::Loss).filter(reads).map(|s| s.term.scope());
        match scopes.next() {
            Some(first) if scopes.all(|scope| scope == first) => first,
            _ => Scope::All,
        }
    }

    /// The weights that terms have when the share `done` (0 to 1) of the training is done.
    pub fn anneal(&mut self, done: f64) {
        for summand in &mut self.summands {
            summand.weight *= summand.anneal.map_or(1.0, |anneal| anneal.at(done));
            summand.anneal = None;
        }
    }

    /// One credit per rollout of each group.
    pub fn advantages(&self, groups: &[Vec<Outcome>]) -> Vec<Vec<f64>> {
        let mut credits = self.advantage.of(groups);
        for (credit_g, factor) in credits.iter_mut().zip(self.group_weights(groups).unwrap_or_default()) {
            credit_g.iter_mut().for_each(|a| *a *= factor);
        }
        credits
    }

    /// How much each group counts, where the recipe weighs groups.
    pub fn group_weights(&self, groups: &[Vec<Outcome>]) -> Option<Vec<f64>> {
        let weight = self.group_weight.as_ref()?;
        Some(groups.iter().map(|group| weight.of(group)).collect())
    }

    /// What the terms in the reward take off each sequence: their weighted sums over its counted tokens.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], [`crate::Error::Length`], or those of the tensor library.
    pub fn penalties(&self, batch: &Batch) -> Result<Vec<f64>> {
        batch.check()?;
        let mut penalty_s = vec![0.0; batch.sequences.len()];
        for summand in self.active(Place::Reward) {
            let mask_n = summand.term.scope().mask(&batch.sequences);
            let value_n = summand.term.per_token(batch)?.detach().to_dtype(DType::F64)?.to_vec1::<f64>()?;
            for (penalty, range) in penalty_s.iter_mut().zip(batch.sequences.ranges()) {
                let sum: f64 = range.clone().filter(|&n| mask_n[n]).map(|n| value_n[n]).sum();
                *penalty += summand.weight * sum;
            }
        }
        Ok(penalty_s)
    }

    /// The part that `batch` has in the loss of the mini-batch counted by `totals`.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], [`crate::Error::Length`], or those of the tensor library.
    pub fn loss(&self, batch: &Batch, totals: &Totals) -> Result<Loss> {
        batch.check()?;
        let log_ratio_n = self.log_ratio(batch)?;
        let step =
            Move { log_ratio_n: &log_ratio_n, logp_n: &batch.logp_n, advantage_n: &batch.advantage_n, batch };
        let policy_n = self.surrogate.per_token(step)?;
        let policy_n = match self.sampler_ratios(batch)? {
            Some((correction, ratio_n)) => {
                let weight_n: Vec<f64> = ratio_n.into_iter().map(|ratio| correction.bound(ratio)).collect();
                (policy_n * Tensor::new(weight_n, batch.device())?.to_dtype(batch.dtype())?)?
            }
            None => policy_n,
        };
        let mut total = reduce(self.reduction.as_ref(), &policy_n, batch, Scope::All, totals)?;
        let mut loss = Loss {
            parts: vec![("policy".into(), scalar(&total)?)],
            raw: vec![],
            spreads: vec![],
            total: total.clone(),
        };
        for summand in self.active(Place::Loss) {
            let reduction = summand.reduction.as_ref().unwrap_or(&self.reduction);
            let (value_n, scope) = (summand.term.per_token(batch)?, summand.term.scope());
            let value = reduce(reduction.as_ref(), &value_n, batch, scope, totals)?;
            let raw = scalar(&value)?;
            let spread = Spread::of(&value_n, &scope.mask(&batch.sequences), summand.term.ceiling())?;
            loss.spreads.push((summand.label.clone(), spread));
            loss.parts.push((summand.label.clone(), raw * summand.weight));
            loss.raw.push((summand.label.clone(), raw));
            total = (total + (value * summand.weight)?)?;
        }
        loss.total = total;
        Ok(loss)
    }

    /// How far the policy moved and how often a bound was active, as sums over the counted tokens.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn diagnostics(&self, batch: &Batch) -> Result<Diagnostics> {
        let log_ratio_n = self.log_ratio(batch)?.detach();
        let sums = Diagnostics::of(batch, &log_ratio_n, self.surrogate.as_ref())?;
        Ok(match self.sampler_ratios(batch)? {
            Some((correction, ratio_n)) => sums.corrected(correction, &ratio_n, &batch.sequences),
            None => sums,
        })
    }

    /// The recipe's correction, if any, and the ratio that it bounds for each token, `[N]`.
    fn sampler_ratios(&self, batch: &Batch) -> Result<Option<(&dyn Correction, Vec<f64>)>> {
        let Some(correction) = self.correction.as_deref() else { return Ok(None) };
        let old_n = batch.old_n.as_ref().unwrap_or(&batch.logp_n).detach().to_dtype(DType::F64)?;
        let sampled_n = batch.signal(correction.name(), Signal::Sampled)?.detach().to_dtype(DType::F64)?;
        let gap_n = correction::gaps(&old_n.to_vec1()?, &sampled_n.to_vec1()?, &batch.sequences)?;
        Ok(Some((correction, correction.ratios(&gap_n, &batch.sequences))))
    }

    fn active(&self, place: Place) -> impl Iterator<Item = &Summand> {
        self.summands.iter().filter(move |s| s.weight != 0.0 && s.place == place)
    }

    fn log_ratio(&self, batch: &Batch) -> Result<Tensor> {
        let old_n = match &batch.old_n {
            Some(old_n) => old_n.detach(),
            None => batch.logp_n.detach(),
        };
        self.ratio.log_ratio(&(&batch.logp_n - old_n)?, &batch.sequences)
    }
}

/// What summands read, each signal once.
fn signals<'a>(
    summands: impl Iterator<Item = &'a Summand>,
    read: impl Fn(&dyn Term) -> Vec<Signal>,
) -> Vec<Signal> {
    let mut signals: Vec<_> = summands.flat_map(|s| read(s.term.as_ref())).collect();
    signals.sort();
    signals.dedup();
    signals
}

fn scalar(x: &Tensor) -> Result<f64> {
    Ok(x.to_dtype(DType::F64)?.to_scalar()?)
}
