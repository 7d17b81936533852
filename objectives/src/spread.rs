//! What the metrics say of a term's values, as sums that add over micro-batches.

use crate::{Result, batch::keep};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// Sums over the tokens that a term is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Tokens.
    pub tokens: f64,
    /// Of values.
    pub sum: f64,
    /// Of squares of values.
    pub squares: f64,
    /// The largest value.
    pub max: f64,
    /// Tokens at the term's ceiling, which have no gradient.
    pub saturated: f64,
}

impl Spread {
    pub(crate) fn of(value_n: &Tensor, mask_n: &[bool], ceiling: Option<f64>) -> Result<Self> {
        let value_n = keep(mask_n, &value_n.detach())?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let mut spread = Self::default();
        for (&value, _) in value_n.iter().zip(mask_n).filter(|(_, counts)| **counts) {
            spread.tokens += 1.0;
            spread.sum += value;
            spread.squares += value * value;
            spread.max = spread.max.max(value);
            // f32 rounds the ceiling.
            let full = ceiling.is_some_and(|ceiling| value >= ceiling * (1.0 - 1e-6));
            spread.saturated += f64::from(u8::from(full));
        }
        Ok(spread)
    }

    /// The sums of `self` and `other` together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            max: self.max.max(other.max),
            saturated: self.saturated + other.saturated,
        }
    }

    /// Mean over tokens; 0 without tokens.
    pub fn mean(&self) -> f64 {
        self.sum / self.tokens.max(1.0)
    }

    /// Population variance over tokens.
    pub fn variance(&self) -> f64 {
        (self.squares / self.tokens.max(1.0) - self.mean().powi(2)).max(0.0)
    }
}
