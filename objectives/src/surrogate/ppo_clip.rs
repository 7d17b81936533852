//! PPO's clipped surrogate, `-min(r·A, clip(r, 1-low, 1+high)·A)`, with clip-higher, the dual clip and
//! the two-sided cap as settings.

use super::{Clipped, Move, Surrogate};
use crate::{Entry, Result};
use candle_core::Tensor;
use serde::Deserialize;
use serde::de::Error as _;

pub(super) const ENTRY: Entry<dyn Surrogate> = Entry {
    name: "ppo-clip",
    paper: "arXiv:1707.06347; high > low: arXiv:2503.14476; dual_clip: arXiv:1912.09729; cap: TRL's delta, arXiv:2505.07291",
    build: |v| {
        let clip = serde_json::from_value::<PpoClip>(v)?;
        clip.check().map_err(serde_json::Error::custom)?;
        Ok(Box::new(clip))
    },
};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PpoClip {
    clip_low: f64,
    clip_high: f64,
    /// A bad token's loss is at most `-A · dual_clip` (3.0 in verl and EasyR1).
    dual_clip: Option<f64>,
    /// The ratio itself is at most this, on the side that the clip leaves open.
    cap: Option<f64>,
}

impl Default for PpoClip {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: 0.2, dual_clip: None, cap: None }
    }
}

impl PpoClip {
    fn check(&self) -> std::result::Result<(), String> {
        let over = |name: &str, value: f64, least: f64| {
            if value > least {
                Ok(())
            } else {
                Err(format!("`{name}` should be over {least}, but is {value}"))
            }
        };
        over("clip_low", self.clip_low, 0.0)?;
        over("clip_high", self.clip_high, 0.0)?;
        self.dual_clip.map_or(Ok(()), |c| over("dual_clip", c, 1.0))?;
        self.cap.map_or(Ok(()), |c| over("cap", c, 1.0 + self.clip_high))
    }
}

impl Surrogate for PpoClip {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn per_token(&self, step: Move<'_>) -> Result<Tensor> {
        let advantage_n = step.advantage_n;
        let ratio_n = step.log_ratio_n.exp()?;
        let bounded_n = ratio_n.detach().clamp(1.0 - self.clip_low, 1.0 + self.clip_high)?;
        let ratio_n = match self.cap {
            Some(cap) => choose(&ratio_n.gt(cap)?, &full(&ratio_n, cap)?, &ratio_n)?,
            None => ratio_n,
        };
        let free_n = (ratio_n * advantage_n)?;
        let stopped_n = (bounded_n * advantage_n)?;
        let loss_n = choose(&free_n.le(&stopped_n)?, &free_n, &stopped_n)?.neg()?;
        let Some(c) = self.dual_clip else { return Ok(loss_n) };
        let ceiling_n = (advantage_n * -c)?;
        let over_n = (loss_n.gt(&ceiling_n)? * advantage_n.lt(0.0)?)?;
        choose(&over_n, &ceiling_n, &loss_n)
    }

    fn clipped(&self, ratio: f64, advantage: f64) -> Option<Clipped> {
        let dual = self.dual_clip.is_some_and(|c| ratio > c) || self.cap.is_some_and(|c| ratio > c);
        match advantage {
            a if a > 0.0 && ratio > 1.0 + self.clip_high => Some(Clipped::High),
            a if a < 0.0 && ratio < 1.0 - self.clip_low => Some(Clipped::Low),
            a if a < 0.0 && dual => Some(Clipped::Dual),
            _ => None,
        }
    }
}

fn choose(when_n: &Tensor, yes_n: &Tensor, no_n: &Tensor) -> Result<Tensor> {
    Ok(when_n.where_cond(yes_n, no_n)?)
}

fn full(like_n: &Tensor, value: f64) -> Result<Tensor> {
    Ok((like_n.zeros_like()? + value)?)
}
