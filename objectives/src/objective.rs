//! The sum of it all: one policy loss and any number of terms, each reduced by its own rule.

use crate::advantage::ADVANTAGES;
use crate::group_weight::GROUP_WEIGHTS;
use crate::ratio::RATIOS;
use crate::reduction::{REDUCTIONS, reduce};
use crate::surrogate::{Move, SURROGATES};
use crate::terms::TERMS;
use crate::{
    Advantage, Batch, Diagnostics, Error, GroupWeight, Named, Outcome, Ratio, Reduction, Result, Scope,
    Signal, Surrogate, Term, Totals,
};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// What a recipe's `[objective]` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveSpec {
    /// A row of [`ADVANTAGES`].
    pub advantage: Named,
    /// A row of [`GROUP_WEIGHTS`], if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_weight: Option<Named>,
    /// A row of [`RATIOS`].
    pub ratio: Named,
    /// A row of [`SURROGATES`].
    pub surrogate: Named,
    /// A row of [`REDUCTIONS`]; the default of every term too.
    pub reduction: Named,
    /// The ratio is bounded below by `1 - clip_low`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_low: Option<f64>,
    /// The ratio is bounded above by `1 + clip_high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_high: Option<f64>,
    /// A bad token's loss is at most `dual_clip` times its advantage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual_clip: Option<f64>,
}

impl Default for ObjectiveSpec {
    fn default() -> Self {
        Self {
            advantage: Named::new("group-z"),
            group_weight: None,
            ratio: Named::new("token"),
            surrogate: Named::new("ppo-clip"),
            reduction: Named::new("token-mean"),
            clip_low: None,
            clip_high: None,
            dual_clip: None,
        }
    }
}

/// One `[[term]]` of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct TermSpec {
    /// A row of [`TERMS`] with its settings.
    pub term: Named,
    /// What its value is multiplied by.
    pub weight: f64,
    /// A row of [`REDUCTIONS`], where it is not the objective's.
    pub reduction: Option<Named>,
    /// How the weight falls to 0, where it does.
    pub anneal: Option<Anneal>,
}

impl TermSpec {
    /// A term of constant weight, reduced as the policy loss is.
    pub fn new(term: Named, weight: f64) -> Self {
        Self { term, weight, reduction: None, anneal: None }
    }
}

/// How a term's weight falls from its value to 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anneal {
    /// A line (PAPO) or half a cosine (Q-Hawkeye).
    pub shape: AnnealShape,
    /// The share of the training at which it is 0.
    pub until: f64,
}

/// The shape of an [`Anneal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnnealShape {
    /// A straight line.
    Linear,
    /// Half a cosine.
    Cosine,
}

impl Anneal {
    /// The factor when the share `done` of the training is done.
    pub fn at(&self, done: f64) -> f64 {
        let way = (done / self.until).clamp(0.0, 1.0);
        match self.shape {
            AnnealShape::Linear => 1.0 - way,
            AnnealShape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * way).cos()),
        }
    }
}

impl TryFrom<Named> for TermSpec {
    type Error = Error;

    fn try_from(mut term: Named) -> Result<Self> {
        let refuse = |name: &str, reason: String| Error::Config { axis: "term", name: name.into(), reason };
        let weight = match term.settings.remove("weight") {
            None => 1.0,
            Some(v) => v
                .as_f64()
                .ok_or_else(|| refuse(&term.name, format!("`weight` should be a number, but is {v}")))?,
        };
        let reduction = term.settings.remove("reduction").map(serde_json::from_value::<Named>).transpose();
        let reduction = reduction.map_err(|e| refuse(&term.name, e.to_string()))?;
        let anneal = term.settings.remove("anneal").map(serde_json::from_value::<Anneal>).transpose();
        let anneal = anneal.map_err(|e| refuse(&term.name, format!("`anneal`: {e}")))?;
        if let Some(Anneal { until, .. }) = anneal.filter(|a| !(a.until > 0.0 && a.until <= 1.0)) {
            let message = format!("`anneal.until` should be over 0 and at most 1, but is {until}");
            return Err(refuse(&term.name, message));
        }
        Ok(Self { term, weight, reduction, anneal })
    }
}

impl From<TermSpec> for Named {
    fn from(spec: TermSpec) -> Self {
        let mut named = spec.term;
        if let Some(weight) = Number::from_f64(spec.weight) {
            named.settings.insert("weight".into(), Value::Number(weight));
        }
        if let Some(reduction) = spec.reduction.and_then(|r| serde_json::to_value(r).ok()) {
            named.settings.insert("reduction".into(), reduction);
        }
        if let Some(anneal) = spec.anneal.and_then(|a| serde_json::to_value(a).ok()) {
            named.settings.insert("anneal".into(), anneal);
        }
        named
    }
}

/// A term as it is used.
#[derive(Debug)]
struct Summand {
    term: Box<dyn Term>,
    /// Its name, numbered where another term of the recipe has it too.
    label: String,
    weight: f64,
    anneal: Option<Anneal>,
    reduction: Option<Box<dyn Reduction>>,
}

/// A policy loss with its terms. Knows no model: [`Objective::needs`] says what to compute.
#[derive(Debug)]
pub struct Objective {
    advantage: Box<dyn Advantage>,
    group_weight: Option<Box<dyn GroupWeight>>,
    ratio: Box<dyn Ratio>,
    surrogate: Box<dyn Surrogate>,
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
}

impl Objective {
    /// Builds what a recipe says.
    ///
    /// # Errors
    /// [`Error::Unknown`] or [`Error::Config`] for a name or a setting that a table does not have.
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
            Ok(Summand { term, label, weight: t.weight, anneal: t.anneal, reduction })
        };
        let group_weight = spec.group_weight.as_ref();
        Ok(Self {
            advantage: spec.advantage.build("advantage", ADVANTAGES)?,
            group_weight: group_weight.map(|w| w.build("group_weight", GROUP_WEIGHTS)).transpose()?,
            ratio: spec.ratio.build("ratio", RATIOS)?,
            surrogate: surrogate.build("surrogate", SURROGATES)?,
            reduction: spec.reduction.build("reduction", REDUCTIONS)?,
            summands: terms.iter().enumerate().map(summand).collect::<Result<_>>()?,
        })
    }

    /// The signals a batch must carry: what the trainer has to compute, and nothing more. A term of
    /// weight 0 asks for nothing.
    pub fn needs(&self) -> Vec<Signal> {
        let mut needs: Vec<_> = self.active().flat_map(|s| s.term.needs()).collect();
        needs.sort();
        needs.dedup();
        needs
    }

    /// Those of [`Objective::needs`] that must carry a gradient.
    pub fn tracks(&self) -> Vec<Signal> {
        let mut tracks: Vec<_> = self.active().flat_map(|s| s.term.tracks()).collect();
        tracks.sort();
        tracks.dedup();
        tracks
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
        if let Some(weight) = &self.group_weight {
            for (credit_g, group) in credits.iter_mut().zip(groups) {
                let factor = weight.of(group);
                credit_g.iter_mut().for_each(|a| *a *= factor);
            }
        }
        credits
    }

    /// The part that `batch` has in the loss of the mini-batch counted by `totals`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Length`], or those of the tensor library.
    pub fn loss(&self, batch: &Batch, totals: &Totals) -> Result<Loss> {
        batch.check()?;
        let log_ratio_n = self.log_ratio(batch)?;
        let step = Move { log_ratio_n: &log_ratio_n, logp_n: &batch.logp_n, advantage_n: &batch.advantage_n };
        let policy_n = self.surrogate.per_token(step)?;
        let mut total = reduce(self.reduction.as_ref(), &policy_n, batch, Scope::All, totals)?;
        let mut loss =
            Loss { parts: vec![("policy".into(), scalar(&total)?)], raw: vec![], total: total.clone() };
        for summand in self.active() {
            let reduction = summand.reduction.as_ref().unwrap_or(&self.reduction);
            let value_n = summand.term.per_token(batch)?;
            let value = reduce(reduction.as_ref(), &value_n, batch, summand.term.scope(), totals)?;
            let raw = scalar(&value)?;
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
        Diagnostics::of(batch, &log_ratio_n, self.surrogate.as_ref())
    }

    fn active(&self) -> impl Iterator<Item = &Summand> {
        self.summands.iter().filter(|s| s.weight != 0.0)
    }

    fn log_ratio(&self, batch: &Batch) -> Result<Tensor> {
        let old_n = match &batch.old_n {
            Some(old_n) => old_n.detach(),
            None => batch.logp_n.detach(),
        };
        self.ratio.log_ratio(&(&batch.logp_n - old_n)?, &batch.sequences)
    }
}

fn scalar(x: &Tensor) -> Result<f64> {
    Ok(x.to_dtype(candle_core::DType::F64)?.to_scalar()?)
}
