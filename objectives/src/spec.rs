//! What a recipe says of an objective: rows by name with their settings. Nothing is computed here.

use crate::{Error, Named, Result};
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
    /// A row of [`CORRECTIONS`], if the gap between sampler and trainer is to be put right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<Named>,
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
            correction: None,
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
    /// Whether it is added to the loss or taken off the reward.
    pub place: Place,
}

/// Where a term acts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Added to the policy loss, with a gradient of its own.
    #[default]
    Loss,
    /// Its sum over an answer's tokens is taken off the answer's reward before advantages are made, as
    /// PPO does with the KL to its reference. It has no gradient.
    Reward,
}

impl TermSpec {
    /// A term of constant weight, reduced as the policy loss is.
    pub fn new(term: Named, weight: f64) -> Self {
        Self { term, weight, reduction: None, anneal: None, place: Place::Loss }
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
        let place = term.settings.remove("place").map(serde_json::from_value::<Place>).transpose();
        let place = place.map_err(|e| refuse(&term.name, format!("`place`: {e}")))?.unwrap_or_default();
        if place == Place::Reward && reduction.is_some() {
            let message = "in the reward it is a sum over each answer: `reduction` should not be set";
            return Err(refuse(&term.name, message.into()));
        }
        Ok(Self { term, weight, reduction, anneal, place })
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
        if spec.place == Place::Reward {
            named.settings.insert("place".into(), "reward".into());
        }
        named
    }
}
