//! Rotary position embedding with an angle for every token and pair of channels.

use std::sync::{Arc, OnceLock};

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
    /// The same for compositions, `[T, 1, D / 2]`, as the first of them needs it.
    tables: Arc<OnceLock<[Tensor; 2]>>,
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
            tables: Arc::default(),
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
        let pairs = self.pairs;
        let [cos, sin] = self.tables(x_thd)?;
        let (low, high) = (x_thd.narrow(2, 0, pairs)?, x_thd.narrow(2, pairs, pairs)?);
        let turned_low = (low.broadcast_mul(&cos)? - high.broadcast_mul(&sin)?)?;
        let turned_high = (high.broadcast_mul(&cos)? + low.broadcast_mul(&sin)?)?;
        Tensor::cat(&[turned_low, turned_high], 2)
    }

    fn tables(&self, like: &Tensor) -> Result<[Tensor; 2]> {
        let fits =
            |table: &Tensor| table.dtype() == like.dtype() && table.device().same_device(like.device());
        if let Some(tables) = self.tables.get().filter(|tables| fits(&tables[0])) {
            return Ok(tables.clone());
        }
        let table = |data: &[f32]| {
            let shape = (data.len() / self.pairs, 1, self.pairs);
            Tensor::from_slice(data, shape, like.device())?.to_dtype(like.dtype())
        };
        let tables = [table(&self.cos_tp)?, table(&self.sin_tp)?];
        self.tables.set(tables.clone()).ok();
        Ok(tables)
    }
}
