//! What the metrics say of an update, as sums that add over micro-batches.

use crate::surrogate::Clipped;
use crate::{Batch, Correction, Result, Sequences, Surrogate};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

/// Sums over counted tokens; divide by `tokens`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// Counted tokens.
    pub tokens: f64,
    /// Of `logp_old - logp`: the k1 estimate of how far the policy moved.
    pub moved: f64,
    /// Of the importance ratio.
    pub ratio: f64,
    /// The largest ratio.
    pub ratio_max: f64,
    /// Tokens stopped by the lower bound.
    pub clipped_low: f64,
    /// Tokens stopped by the upper bound.
    pub clipped_high: f64,
    /// Tokens stopped by the dual clip or the cap.
    pub clipped_dual: f64,
    /// Of the weights that put the sampler right; 0 where nothing is put right.
    pub weight: f64,
    /// Tokens whose weight is not the importance ratio but its bound, or nothing.
    pub bounded: f64,
}

impl Diagnostics {
    pub(crate) fn of(batch: &Batch, log_ratio_n: &Tensor, surrogate: &dyn Surrogate) -> Result<Self> {
        let log_ratio_n = log_ratio_n.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let advantage_n = batch.advantage_n.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let mut sums = Self::default();
        let tokens = log_ratio_n.iter().zip(&advantage_n).zip(batch.sequences.counted());
        for ((&log_ratio, &advantage), _) in tokens.filter(|(_, counted)| **counted) {
            let ratio = log_ratio.exp();
            sums.tokens += 1.0;
            sums.moved -= log_ratio;
            sums.ratio += ratio;
            sums.ratio_max = sums.ratio_max.max(ratio);
            match surrogate.clipped(ratio, advantage) {
                Some(Clipped::Low) => sums.clipped_low += 1.0,
                Some(Clipped::High) => sums.clipped_high += 1.0,
                Some(Clipped::Dual) => sums.clipped_dual += 1.0,
                None => {}
            }
        }
        Ok(sums)
    }

    /// With the weights that `correction` makes of the sampler's ratios.
    pub(crate) fn corrected(
        mut self,
        correction: &dyn Correction,
        ratio_n: &[f64],
        sequences: &Sequences,
    ) -> Self {
        for (&ratio, _) in ratio_n.iter().zip(sequences.counted()).filter(|(_, counted)| **counted) {
            let weight = correction.bound(ratio);
            self.weight += weight;
            self.bounded += f64::from(u8::from(weight != ratio));
        }
        self
    }

    /// The sums of `self` and `other` together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            moved: self.moved + other.moved,
            ratio: self.ratio + other.ratio,
            ratio_max: self.ratio_max.max(other.ratio_max),
            clipped_low: self.clipped_low + other.clipped_low,
            clipped_high: self.clipped_high + other.clipped_high,
            clipped_dual: self.clipped_dual + other.clipped_dual,
            weight: self.weight + other.weight,
            bounded: self.bounded + other.bounded,
        }
    }
}
