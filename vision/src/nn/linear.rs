//! Linear layers with weights stored `[out, in]`, as checkpoints store them.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::buffers::Buffer;
use super::layer::{Layer, Saved};
use super::matmul::{Mat, Write, par_matmul};
use super::simd::{add, par_rows, vectorised};
use super::sink::{GradSink, Weight};

/// Rows whose bias gradients are summed by one task; fixed, so that the sum is, too.
const ROWS_PER_SUM: usize = 256;

/// `x @ weight^T + bias`. A frozen weight costs no gradient.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// `[out, in]`
    pub weight: Weight,
    /// `[out]`
    pub bias: Option<Weight>,
}

impl Linear {
    pub(crate) fn out(&self) -> usize {
        self.weight.var().dims().first().copied().unwrap_or(0)
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Weight> {
        std::iter::once(&self.weight).chain(&self.bias)
    }

    pub(crate) fn inner(&self) -> usize {
        self.weight.var().elem_count() / self.out().max(1)
    }

    pub(crate) fn apply(&self, x: &[f32]) -> Result<Buffer> {
        let mut y = Buffer::new(x.len() / self.inner() * self.out());
        self.write(x, &mut y, Write::Replace)?;
        Ok(y)
    }

    /// Adds the layer's output to the residual stream `x`.
    pub(crate) fn add_to(&self, input: &[f32], x: &mut [f32]) -> Result<()> {
        self.write(input, x, Write::Add)
    }

    fn write(&self, x: &[f32], y: &mut [f32], mut write: Write) -> Result<()> {
        let (inner, out) = (self.inner(), self.out());
        if let Some(bias) = &self.bias {
            // The product then adds to the bias: one pass fewer over the result.
            let bias = bias.host()?;
            par_rows(y, out, |_, rows| {
                for row in rows.chunks_exact_mut(out) {
                    match write {
                        Write::Replace => row.copy_from_slice(&bias),
                        Write::Add => add(row, &bias),
                    }
                }
            });
            write = Write::Add;
        }
        par_matmul(y, write, 1.0, Mat::new(x, inner), Mat::new(&self.weight.host()?, inner).t());
        Ok(())
    }

    /// Adds the gradients of weight and bias to `sink`.
    pub(crate) fn weight_grads(&self, x: &[f32], d_y: &[f32], sink: &GradSink) {
        let (inner, out) = (self.inner(), self.out());
        sink.add(&self.weight, |grad, write| {
            par_matmul(grad, write, 1.0, Mat::new(d_y, out).t(), Mat::new(x, inner));
        });
        let Some(bias) = self.bias.as_ref().filter(|bias| bias.is_trainable()) else { return };
        sink.add_slice(bias, &column_sums(d_y, out));
    }

    /// The gradient of the input.
    pub(crate) fn input_grad(&self, d_y: &[f32]) -> Result<Buffer> {
        let (inner, out) = (self.inner(), self.out());
        Ok(super::matmul::product(Mat::new(d_y, out), Mat::new(&self.weight.host()?, inner)))
    }
}

pub(crate) fn column_sums(d_y: &[f32], width: usize) -> Buffer {
    let partial: Vec<Buffer> = d_y
        .par_chunks(ROWS_PER_SUM * width)
        .map(|rows| {
            let mut sums = Buffer::zeros(width);
            vectorised(|| rows.chunks_exact(width).for_each(|row| add(&mut sums, row)));
            sums
        })
        .collect();
    let mut total = Buffer::zeros(width);
    partial.iter().for_each(|sums| add(&mut total, sums));
    total
}

impl Layer for Linear {
    fn widths(&self) -> (usize, usize) {
        (self.inner(), self.out())
    }

    fn weights(&self) -> Vec<&Weight> {
        self.parameters().collect()
    }

    fn forward(&self, x: &[f32]) -> Result<(Buffer, Saved)> {
        Ok((self.apply(x)?, Saved::new()))
    }

    fn backward(&self, x: &[f32], _saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<Buffer> {
        self.weight_grads(x, &d_y, sink);
        self.input_grad(&d_y)
    }

    fn backward_weights(&self, x: &[f32], _saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<()> {
        self.weight_grads(x, &d_y, sink);
        Ok(())
    }

    fn compose(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.tensor().reshape((self.out(), self.inner()))?;
        let y = x.matmul(&weight.t()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.tensor()),
            None => Ok(y),
        }
    }
}
