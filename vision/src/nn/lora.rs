//! A low-rank change of a linear layer (LoRA): to some of its outputs, `scale * drop(x) @ a^T @ b^T` is added.
//!
//! Modules of the published model that are one [`Linear`](super::Linear) here (queries, keys and values; gate
//! and up) have an adapter each, so an adapter knows which outputs are its own. What is dropped is a function
//! of the pass, the module and the place in the row; nothing is dropped outside a pass of training. Knows no
//! names and no files.
//!
//! T tokens, R rank, I and O inputs and outputs of the module.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::buffers::Buffer;
use super::matmul::{Mat, Write, par_matmul, par_matmul_into, product};
use super::simd::{par_add, par_rows};
use super::sink::{GradSink, Weight};
use super::skinny;

/// An adapter of one module.
#[derive(Clone, Debug)]
pub(crate) struct Lora {
    /// `[R, I]`
    pub a: Weight,
    /// `[O, R]`
    pub b: Weight,
    /// The module's outputs among the layer's.
    pub outputs: Range<usize>,
    pub scale: f32,
    pub dropout: Dropout,
}

/// What an adapter leaves out of its input: each number with probability `rate`, the others made larger.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    pub rate: f32,
    /// Tells modules apart.
    pub module: u64,
    /// The pass of training; `None` where nothing is dropped.
    pub pass: Option<u64>,
}

impl Lora {
    fn rank(&self) -> usize {
        self.a.var().dims().first().copied().unwrap_or(0)
    }

    fn inner(&self) -> usize {
        self.a.var().elem_count() / self.rank().max(1)
    }

    pub(crate) fn learns(&self) -> bool {
        self.a.is_trainable() || self.b.is_trainable()
    }

    /// The rows between the two products, `[T, R]`.
    fn low(&self, x: &[f32]) -> Result<Buffer> {
        Ok(product(Mat::new(x, self.inner()), Mat::new(&self.a.host()?, self.inner()).t()))
    }

    /// The module's columns of rows `width` wide.
    fn own<'a>(&self, rows: &'a [f32], width: usize) -> Mat<'a> {
        Mat::strided(&rows[self.outputs.start..], rows.len() / width, self.outputs.len(), width)
    }

    /// Adds the change to the outputs `y`, `[T, width]`.
    pub(crate) fn add_to(&self, x: &[f32], y: &mut [f32], width: usize) -> Result<()> {
        let dropped = self.dropout.of(x);
        let low = self.low(dropped.as_deref().unwrap_or(x))?;
        let (b, rank) = (self.b.host()?, self.rank());
        let (low, b) = (Mat::new(&low, rank), Mat::new(&b, rank).t());
        par_matmul_into(y, (width, self.outputs.start), Write::Add, self.scale, low, b);
        Ok(())
    }

    /// [`Lora::add_to`] for few rows, each of whose bytes do not depend on the others.
    pub(crate) fn add_few(&self, x: &[f32], y: &mut [f32], width: usize) -> Result<()> {
        let low = skinny::product(x, &self.a.host()?, self.inner());
        let change = skinny::product(&low, &self.b.host()?, self.rank());
        let rows = y.chunks_exact_mut(width).zip(change.chunks_exact(self.outputs.len()));
        for (y, change) in rows {
            let own = y[self.outputs.clone()].iter_mut().zip(change);
            own.for_each(|(y, change)| *y += self.scale * change);
        }
        Ok(())
    }

    /// The gradient of [`Lora::low`].
    pub(crate) fn low_grad(&self, d_y: &[f32], width: usize) -> Result<Buffer> {
        let (b, rank) = (self.b.host()?, self.rank());
        let mut d_low = Buffer::new(d_y.len() / width * rank);
        par_matmul(&mut d_low, Write::Replace, self.scale, self.own(d_y, width), Mat::new(&b, rank));
        Ok(d_low)
    }

    /// Adds the gradients of both matrices to `sink`.
    pub(crate) fn weight_grads(
        &self,
        x: &[f32],
        d_y: &[f32],
        d_low: &[f32],
        width: usize,
        sink: &GradSink,
    ) -> Result<()> {
        if !self.learns() {
            return Ok(());
        }
        let (rank, inner) = (self.rank(), self.inner());
        let dropped = self.dropout.of(x);
        let x = dropped.as_deref().unwrap_or(x);
        if self.a.is_trainable() {
            // Of `[R, I]` there are too few rows to share among threads: its transpose is computed.
            let d_a_ir = product(Mat::new(x, inner).t(), Mat::new(d_low, rank));
            let mut d_a_ri = Buffer::new(d_a_ir.len());
            par_rows(&mut d_a_ri, inner, |first, rows| {
                for (r, row) in (first..).zip(rows.chunks_exact_mut(inner)) {
                    row.iter_mut().zip(d_a_ir[r..].iter().step_by(rank)).for_each(|(d, value)| *d = *value);
                }
            });
            sink.add_slice(&self.a, &d_a_ri);
        }
        if self.b.is_trainable() {
            let low = self.low(x)?;
            sink.add(&self.b, |grad, write| {
                par_matmul(grad, write, self.scale, self.own(d_y, width).t(), Mat::new(&low, rank));
            });
        }
        Ok(())
    }

    /// Adds the adapter's part of the input's gradient to `d_x`.
    pub(crate) fn add_input_grad(&self, d_low: &[f32], d_x: &mut [f32]) -> Result<()> {
        let (a, inner) = (self.a.host()?, self.inner());
        let (d_low, a) = (Mat::new(d_low, self.rank()), Mat::new(&a, inner));
        if self.dropout.threshold().is_none() {
            par_matmul(d_x, Write::Add, 1.0, d_low, a);
            return Ok(());
        }
        let d_dropped = product(d_low, a);
        let kept = self.dropout.of(&d_dropped);
        par_add(d_x, kept.as_deref().unwrap_or(&d_dropped));
        Ok(())
    }

    /// Adds the change to the layer's weight, `[outputs, I]`.
    pub(crate) fn add_to_weight(&self, w_oi: &mut [f32]) -> Result<()> {
        let (a, b, inner) = (self.a.values()?, self.b.values()?, self.inner());
        let own = &mut w_oi[self.outputs.start * inner..self.outputs.end * inner];
        par_matmul(own, Write::Add, self.scale, Mat::new(&b, self.rank()), Mat::new(&a, inner));
        Ok(())
    }

    /// The change `[T, O]` in plain candle operations.
    pub(crate) fn compose(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        if let Some(mask) = self.dropout.mask(x.elem_count()) {
            x = (&x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?;
        }
        x.matmul(&self.a.tensor().t()?)?.matmul(&self.b.tensor().t()?)? * f64::from(self.scale)
    }
}

impl Dropout {
    /// Below it a draw of 32 bits is dropped; `None` where nothing is.
    fn threshold(&self) -> Option<u32> {
        (self.pass.is_some() && self.rate > 0.0).then(|| (f64::from(self.rate) * 2f64.powi(32)) as u32)
    }

    /// What is left of `x`; `None` where all of it is.
    fn of(&self, x: &[f32]) -> Option<Buffer> {
        let (threshold, key, keep) = (self.threshold()?, self.key(), 1.0 / (1.0 - self.rate));
        let mut y = Buffer::copy_of(x);
        par_rows(&mut y, 1, |first, y| {
            for (at, y) in (first as u64..).zip(y) {
                *y = if draw(key, at) < threshold { 0.0 } else { *y * keep };
            }
        });
        Some(y)
    }

    /// What each of `len` numbers is multiplied by.
    fn mask(&self, len: usize) -> Option<Vec<f32>> {
        self.of(&vec![1.0; len]).map(Buffer::into_vec)
    }

    fn key(&self) -> u64 {
        mix(self.pass.unwrap_or(0) ^ mix(self.module))
    }
}

/// The draw at a place.
#[inline(always)]
fn draw(key: u64, at: u64) -> u32 {
    (mix(key.wrapping_add(at.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 32) as u32
}

/// The finaliser of SplitMix64.
#[inline(always)]
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_and_draws_anew_for_every_pass_and_module() {
        let of = |module, pass| Dropout { rate: 0.25, module, pass: Some(pass) }.mask(1 << 16).unwrap();
        let first = of(1, 1);
        assert_eq!(first, of(1, 1));
        for other in [of(2, 1), of(1, 2), of(2, 2)] {
            let same = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / 65536.0;
            // Independent masks agree where both keep or both drop: 0.75² + 0.25².
            assert!((same - 0.625).abs() < 0.01, "{same}");
        }
        let mean = first.iter().map(|&m| f64::from(m)).sum::<f64>() / 65536.0;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let none = Dropout { rate: 0.25, module: 1, pass: None };
        assert!(none.mask(8).is_none() && Dropout { rate: 0.0, pass: Some(1), ..none }.mask(8).is_none());
    }
}
