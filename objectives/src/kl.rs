//! Estimators of `KL(p ‖ q)` from the log-probabilities of tokens sampled from `p`.
//!
//! The value is not the whole story; with samples from `p` the expected gradients are
//! - k1 through `p`: exactly 0 (a loss of it does nothing on-policy),
//! - k2 through `p`: that of `KL(p ‖ q)`,
//! - k3 through `p`, `q` constant: that of `KL(q ‖ p)`, the other way round,
//! - k3 through `q`, `p` constant: that of `KL(p ‖ q)`.
//!
//! [`Kl`] is an estimator or the exact sum over the vocabulary, which the trainer computes.
//!
//! `tests/estimators.rs` shows each by enumeration. Source: Schulman, "Approximating KL Divergence"
//! (2020); names as in verl's `kl_penalty`.

use crate::Result;
use candle_core::Tensor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// How `KL(p ‖ q)` is estimated at each token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Estimator {
    /// `lp - lq`.
    #[serde(rename = "k1")]
    K1,
    /// `|lp - lq|`.
    #[serde(rename = "abs")]
    Abs,
    /// `(lp - lq)² / 2`.
    #[serde(rename = "k2")]
    K2,
    /// `exp(lq - lp) - (lq - lp) - 1`, as TRL computes it.
    #[serde(rename = "k3")]
    K3,
    /// The value of k3 with the gradient of k2 in `p` and its own in `q`: that of `KL(p ‖ q)` in both.
    #[serde(rename = "k3+")]
    K3Plus,
}

impl Estimator {
    /// Every estimator.
    pub const ALL: [Self; 5] = [Self::K1, Self::Abs, Self::K2, Self::K3, Self::K3Plus];

    /// The estimate at each token, `[N]`.
    ///
    /// `clamp` bounds the log-ratio to ±20 and a k3 value to ±10, as verl and EasyR1 do; it stops the
    /// gradient where `lq - lp` is over 2.61 or under -11.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn per_token(self, p_n: &Tensor, q_n: &Tensor, clamp: bool) -> Result<Tensor> {
        let gap_n = (p_n - q_n)?;
        Ok(match self {
            Self::K1 => gap_n,
            Self::Abs => gap_n.abs()?,
            Self::K2 => (gap_n.sqr()? * 0.5)?,
            Self::K3 => k3(&gap_n, clamp)?,
            Self::K3Plus => {
                let k2_n = ((p_n - q_n.detach())?.sqr()? * 0.5)?;
                let value_n = k3(&(p_n.detach() - q_n)?, clamp)?;
                ((&k2_n - k2_n.detach())? + value_n)?
            }
        })
    }
}

/// Where a term's KL comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kl {
    /// Estimated from the log-probabilities of the sampled tokens.
    Sampled(Estimator),
    /// Summed over the vocabulary.
    Full,
}

impl<'de> Deserialize<'de> for Kl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let word = String::deserialize(from)?;
        if word == "full" {
            return Ok(Self::Full);
        }
        let sampled = Estimator::deserialize(serde::de::value::StrDeserializer::<D::Error>::new(&word));
        sampled.map(Self::Sampled).map_err(|e| D::Error::custom(format!("{e}, or `full`")))
    }
}

/// The most that a clamped k3 comes to; a token there has no gradient.
pub const CEILING: f64 = 10.0;

fn k3(gap_n: &Tensor, clamp: bool) -> Result<Tensor> {
    let mut r_n = gap_n.neg()?;
    if clamp {
        r_n = r_n.clamp(-20.0, 20.0)?;
    }
    let value_n = ((r_n.exp()? - &r_n)? - 1.0)?;
    Ok(if clamp { value_n.clamp(-CEILING, CEILING)? } else { value_n })
}
