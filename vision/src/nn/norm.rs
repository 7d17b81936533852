//! RMS and layer normalisation over the last dimension.

use candle_core::{D, DType, Result, Tensor};
use rayon::prelude::*;

use super::buffers::Buffer;
use super::layer::{Layer, Saved};
use super::simd::{add, dot, par_rows, sum, sum2, vectorised};
use super::sink::{GradSink, Weight};

/// Rows whose weight gradients are summed by one task; fixed, so that the sum is, too.
const ROWS_PER_SUM: usize = 128;

/// `x / sqrt(mean(x^2) + eps) * weight`, or with a bias `(x - mean) / sqrt(var + eps) * weight + bias`.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub weight: Weight,
    /// Present in layer norms, absent in RMS norms.
    pub bias: Option<Weight>,
    pub eps: f32,
}

/// Mean and inverse deviation of a row; the mean is 0 for an RMS norm.
#[inline(always)]
fn moments(row: &[f32], centred: bool, eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = if centred { sum(row) / n } else { 0.0 };
    let square = if centred { sum2(row, row, |a, _| (a - mean) * (a - mean)) } else { dot(row, row) };
    (mean, 1.0 / (square / n + eps).sqrt())
}

impl Norm {
    pub(crate) fn width(&self) -> usize {
        self.weight.var().elem_count()
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Weight> {
        std::iter::once(&self.weight).chain(&self.bias)
    }

    pub(crate) fn apply(&self, x: &[f32]) -> Result<Buffer> {
        let mut y = Buffer::copy_of(x);
        let width = self.width();
        self.apply_strided(&mut y, width, 0, 1)?;
        Ok(y)
    }

    /// Normalises, in rows of `stride` elements, `groups` runs of the norm's width from `offset` on.
    pub(crate) fn apply_strided(
        &self,
        x: &mut [f32],
        stride: usize,
        offset: usize,
        groups: usize,
    ) -> Result<()> {
        let (width, weight) = (self.width(), self.weight.host()?);
        let bias = self.bias.as_ref().map(Weight::host).transpose()?;
        let (weight, bias, eps): (&[f32], Option<&[f32]>, f32) = (&weight, bias.as_deref(), self.eps);
        par_rows(x, stride, |_, rows| {
            for row in rows.chunks_exact_mut(stride) {
                for x in row[offset..].chunks_exact_mut(width).take(groups) {
                    let (mean, inverse) = moments(x, bias.is_some(), eps);
                    match bias {
                        Some(bias) => {
                            for i in 0..width {
                                x[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
                            }
                        }
                        None => {
                            for i in 0..width {
                                x[i] = x[i] * inverse * weight[i];
                            }
                        }
                    }
                }
            }
        });
        Ok(())
    }

    /// Replaces the gradient `d` of the normalised runs by the gradient of `x`; layout as in
    /// [`Norm::apply_strided`].
    pub(crate) fn backward_strided(
        &self,
        x: &[f32],
        d: &mut [f32],
        stride: usize,
        offset: usize,
        groups: usize,
        sink: &GradSink,
    ) -> Result<()> {
        let weight_host = self.weight.host()?;
        let (width, weight, centred, eps) = (self.width(), &*weight_host, self.bias.is_some(), self.eps);
        let learns = self.learns();
        let sums: Vec<(Buffer, Buffer)> = d
            .par_chunks_mut(ROWS_PER_SUM * stride)
            .zip(x.par_chunks(ROWS_PER_SUM * stride))
            .map(|(d, x)| {
                let (mut d_weight, mut d_bias) = (Buffer::zeros(width), Buffer::zeros(width));
                vectorised(|| {
                    for (d, x) in d.chunks_exact_mut(stride).zip(x.chunks_exact(stride)) {
                        let runs = d[offset..].chunks_exact_mut(width).zip(x[offset..].chunks_exact(width));
                        for (d, x) in runs.take(groups) {
                            let grads = learns.then_some((&mut d_weight[..], &mut d_bias[..]));
                            backward_run(x, d, weight, centred, eps, grads);
                        }
                    }
                });
                (d_weight, d_bias)
            })
            .collect();
        if !learns {
            return Ok(());
        }
        let (mut d_weight, mut d_bias) = (Buffer::zeros(width), Buffer::zeros(width));
        for (weight, bias) in &sums {
            add(&mut d_weight, weight);
            add(&mut d_bias, bias);
        }
        sink.add_slice(&self.weight, &d_weight);
        if let Some(bias) = &self.bias {
            sink.add_slice(bias, &d_bias);
        }
        Ok(())
    }

    /// Composition over the last dimension of any shape.
    pub(crate) fn compose_last(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        let x = match self.bias {
            Some(_) => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            None => x,
        };
        let square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let unit = x.broadcast_div(&(square + f64::from(self.eps))?.sqrt()?)?.to_dtype(dtype)?;
        let y = unit.broadcast_mul(&self.weight.tensor())?;
        match &self.bias {
            Some(bias) => y.broadcast_add(&bias.tensor()),
            None => Ok(y),
        }
    }
}

/// One run's gradient: `inv * (g - mean(g) - u * mean(g * u))` with `g = d * weight` and `u` the unit
/// row; an RMS norm has no `mean(g)`. `grads` sums those of weight and bias, where they are wanted.
#[inline(always)]
fn backward_run(
    x: &[f32],
    d: &mut [f32],
    weight: &[f32],
    centred: bool,
    eps: f32,
    grads: Option<(&mut [f32], &mut [f32])>,
) {
    let width = weight.len();
    let (x, d) = (&x[..width], &mut d[..width]);
    let (mean, inverse) = moments(x, centred, eps);
    if let Some((d_weight, d_bias)) = grads {
        if centred {
            add(d_bias, d);
        }
        for i in 0..width {
            d_weight[i] += d[i] * (x[i] - mean) * inverse;
        }
    }
    for i in 0..width {
        d[i] *= weight[i];
    }
    let n = width as f32;
    let along = sum2(d, x, |g, x| g * (x - mean)) * inverse * inverse / n;
    let level = if centred { sum(d) / n } else { 0.0 };
    for i in 0..width {
        d[i] = inverse * (d[i] - level - (x[i] - mean) * along);
    }
}

impl Layer for Norm {
    fn widths(&self) -> (usize, usize) {
        (self.width(), self.width())
    }

    fn weights(&self) -> Vec<&Weight> {
        self.parameters().collect()
    }

    fn forward(&self, x: &[f32]) -> Result<(Buffer, Saved)> {
        Ok((self.apply(x)?, Saved::new()))
    }

    fn backward(&self, x: &[f32], _saved: Saved, mut d_y: Buffer, sink: &GradSink) -> Result<Buffer> {
        self.backward_strided(x, &mut d_y, self.width(), 0, 1, sink)?;
        Ok(d_y)
    }

    fn compose(&self, x: &Tensor) -> Result<Tensor> {
        self.compose_last(x)
    }
}
