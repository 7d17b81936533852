//! Rotary position embedding with an angle for every token and pair of channels.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::simd::par_rows;

/// Cosines and sines of every token's angles; made once for a row and shared by all layers. Which angle
/// belongs to which token (1-D, M-RoPE, a ViT's rows and columns) is the caller's business.
#[derive(Clone, Debug)]
pub(crate) struct Rotary {
    /// `[T, D / 2]`
    cos_tp: Arc<[f32]>,
    sin_tp: Arc<[f32]>,
    pairs: usize,
}

/// `base^(-i / n)` for `i` in `0..n`, rounded to f32 as the checkpoints' own code has them.
pub(crate) fn inverse_frequencies(n: usize, base: f64) -> Vec<f32> {
    (0..n).map(|i| (1.0 / base.powf(i as f64 / n as f64)) as f32).collect()
}

impl Rotary {
    /// From angles in radians, `[T, pairs]`.
    pub(crate) fn new(angles_tp: &[f32], pairs: usize) -> Self {
        Self {
            cos_tp: angles_tp.iter().map(|a| a.cos()).collect(),
            sin_tp: angles_tp.iter().map(|a| a.sin()).collect(),
            pairs,
        }
    }

    /// Turns the leading `heads` heads of every row of `stride` elements by `direction` (1 or -1) times
    /// its angles. The two halves of a head are the real and imaginary parts, as in the Qwen models.
    pub(crate) fn rotate(&self, x: &mut [f32], stride: usize, heads: usize, direction: f32) {
        let pairs = self.pairs;
        par_rows(x, stride, |first, rows| {
            for (token, row) in (first..).zip(rows.chunks_exact_mut(stride)) {
                let cos = &self.cos_tp[token * pairs..][..pairs];
                let sin = &self.sin_tp[token * pairs..][..pairs];
                for head in row.chunks_exact_mut(2 * pairs).take(heads) {
                    let (low, high) = head.split_at_mut(pairs);
                    for i in 0..pairs {
                        let (a, b, s) = (low[i], high[i], direction * sin[i]);
                        low[i] = a * cos[i] - b * s;
                        high[i] = b * cos[i] + a * s;
                    }
                }
            }
        });
    }

    /// The same as a composition, of all heads of `x_thd`.
    pub(crate) fn compose(&self, x_thd: &Tensor) -> Result<Tensor> {
        let (tokens, pairs) = (x_thd.dim(0)?, self.pairs);
        let table = |data: &[f32]| {
            Tensor::from_slice(data, (tokens, 1, pairs), x_thd.device())?.to_dtype(x_thd.dtype())
        };
        let (cos, sin) = (table(&self.cos_tp)?, table(&self.sin_tp)?);
        let (low, high) = (x_thd.narrow(2, 0, pairs)?, x_thd.narrow(2, pairs, pairs)?);
        let turned_low = (low.broadcast_mul(&cos)? - high.broadcast_mul(&sin)?)?;
        let turned_high = (high.broadcast_mul(&cos)? + low.broadcast_mul(&sin)?)?;
        Tensor::cat(&[turned_low, turned_high], 2)
    }
}
