//! The nonlinearities of the Qwen models, gated and plain, and the MLP made of one.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::buffers::Buffer;
use super::layer::{Layer, Saved};
use super::linear::Linear;
use super::norm::Norm;
use super::simd::{self, erf, exp, par_rows, rows_per_task, sigmoid, vectorised};
use super::sink::{GradSink, Weight};

/// What stands between the two linear layers of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// `silu(gate) * up` of rows `[gate, up]`: halves the width.
    SwiGlu,
    /// `x * sigmoid(1.702 x)`
    QuickGelu,
    /// `x * Phi(x)` with the tanh approximation
    GeluTanh,
    /// `x * Phi(x)` with the error function
    GeluErf,
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;
const QUICK: f32 = 1.702;

/// Value and slope of the plain nonlinearities.
#[inline(always)]
fn plain(act: Act, x: f32) -> (f32, f32) {
    match act {
        Act::QuickGelu => {
            let s = sigmoid(QUICK * x);
            (x * s, s + QUICK * x * s * (1.0 - s))
        }
        Act::GeluTanh => {
            let inner = SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x);
            let s = sigmoid(2.0 * inner); // (1 + tanh(inner)) / 2
            let d_inner = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
            (x * s, s + x * 2.0 * s * (1.0 - s) * d_inner)
        }
        Act::GeluErf | Act::SwiGlu => {
            let phi = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
            (x * phi, phi + x * 0.398_942_3 * exp(-0.5 * x * x))
        }
    }
}

impl Act {
    /// How many inputs make one output.
    pub(crate) fn fan(self) -> usize {
        if self == Self::SwiGlu { 2 } else { 1 }
    }

    /// `width` counts outputs.
    pub(crate) fn forward(self, x: &[f32], width: usize) -> Buffer {
        let mut y = Buffer::new(x.len() / self.fan());
        par_rows(&mut y, width, |first, rows| match self {
            Self::SwiGlu => {
                let inputs = x[first * 2 * width..].chunks_exact(2 * width);
                for (y, input) in rows.chunks_exact_mut(width).zip(inputs) {
                    let (gate, up) = input.split_at(width);
                    for i in 0..width {
                        y[i] = gate[i] * sigmoid(gate[i]) * up[i];
                    }
                }
            }
            Self::QuickGelu => map(rows, &x[first * width..], |x| plain(Self::QuickGelu, x).0),
            Self::GeluTanh => map(rows, &x[first * width..], |x| plain(Self::GeluTanh, x).0),
            Self::GeluErf => map(rows, &x[first * width..], |x| plain(Self::GeluErf, x).0),
        });
        y
    }

    /// The gradient of `x`. `d_y` is replaced by the output itself: a layer's backward pass needs it
    /// next, and the sigmoid is at hand.
    pub(crate) fn backward(self, x: &[f32], d_y: &mut [f32], width: usize) -> Buffer {
        let mut d_x = Buffer::new(x.len());
        let (rows, fan) = (rows_per_task(width), self.fan());
        d_x.par_chunks_mut(rows * fan * width)
            .zip(d_y.par_chunks_mut(rows * width))
            .zip(x.par_chunks(rows * fan * width))
            .for_each(|((d_x, d_y), x)| {
                vectorised(|| match self {
                    Self::SwiGlu => swiglu_backward(x, d_y, d_x, width),
                    Self::QuickGelu => slopes(x, d_y, d_x, |x| plain(Self::QuickGelu, x)),
                    Self::GeluTanh => slopes(x, d_y, d_x, |x| plain(Self::GeluTanh, x)),
                    Self::GeluErf => slopes(x, d_y, d_x, |x| plain(Self::GeluErf, x)),
                });
            });
        d_x
    }

    pub(crate) fn compose(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::SwiGlu => {
                let width = x.dim(1)? / 2;
                x.narrow(1, 0, width)?.silu()? * x.narrow(1, width, width)?
            }
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * f64::from(QUICK))?)?,
            Self::GeluTanh => x.gelu(),
            Self::GeluErf => x.gelu_erf(),
        }
    }
}

#[inline(always)]
fn map(y: &mut [f32], x: &[f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x));
}

#[inline(always)]
fn slopes(x: &[f32], d_y: &mut [f32], d_x: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for ((&x, d_y), d_x) in x.iter().zip(d_y).zip(d_x) {
        let (y, slope) = f(x);
        *d_x = *d_y * slope;
        *d_y = y;
    }
}

#[inline(always)]
fn swiglu_backward(x: &[f32], d_y: &mut [f32], d_x: &mut [f32], width: usize) {
    let rows = d_x.chunks_exact_mut(2 * width).zip(x.chunks_exact(2 * width));
    for ((d_x, x), d_y) in rows.zip(d_y.chunks_exact_mut(width)) {
        let (gate, up) = x.split_at(width);
        let (d_gate, d_up) = d_x.split_at_mut(width);
        for i in 0..width {
            let s = sigmoid(gate[i]);
            let silu = gate[i] * s;
            d_up[i] = d_y[i] * silu;
            d_gate[i] = d_y[i] * up[i] * (s + silu * (1.0 - s));
            d_y[i] = silu * up[i];
        }
    }
}

/// `x + down(act(up(norm(x))))`, or without the residual sum.
#[derive(Clone, Debug)]
pub(crate) struct MlpBlock {
    /// Over rows of its own width, which may divide the rows' (a merger's norm before the merge).
    pub norm: Norm,
    /// For [`Act::SwiGlu`] the gate rows, then the up rows.
    pub up: Linear,
    pub act: Act,
    pub down: Linear,
    pub residual: bool,
}

impl MlpBlock {
    fn width(&self) -> usize {
        self.up.out() / self.act.fan()
    }

    /// Its linear layers, in the order in which they run.
    pub(crate) fn linears(&mut self) -> [&mut Linear; 2] {
        [&mut self.up, &mut self.down]
    }

    /// The block in one pass of training, whose seed decides what adapters drop.
    pub(crate) fn in_pass(&self, pass: Option<u64>) -> Self {
        let mut block = self.clone();
        block.linears().into_iter().for_each(|linear| linear.enter(pass));
        block
    }
}

impl Layer for MlpBlock {
    fn widths(&self) -> (usize, usize) {
        (if self.residual { self.up.inner() } else { self.norm.width() }, self.down.out())
    }

    fn rows(&self, rows: usize) -> usize {
        if self.residual { rows } else { rows * self.widths().0 / self.up.inner() }
    }

    fn weights(&self) -> Vec<&Weight> {
        let Self { norm, up, down, .. } = self;
        norm.parameters().chain(up.parameters()).chain(down.parameters()).collect()
    }

    fn forward(&self, x: &[f32]) -> Result<(Buffer, Saved)> {
        let hidden = self.up.apply(&self.norm.apply(x)?)?;
        let active = self.act.forward(&hidden, self.width());
        let y = if self.residual {
            let mut y = Buffer::copy_of(x);
            self.down.add_to(&active, &mut y)?;
            y
        } else {
            self.down.apply(&active)?
        };
        Ok((y, vec![hidden]))
    }

    fn backward(&self, x: &[f32], mut saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<Buffer> {
        let hidden = saved.pop().unwrap_or_default();
        let low = self.down.low_grads(&d_y)?;
        let mut d_active = self.down.input_grad(&d_y, &low)?;
        let d_hidden = self.act.backward(&hidden, &mut d_active, self.width());
        let active = d_active; // by now the activation itself
        self.down.weight_grads(&active, &d_y, &low, sink)?;
        drop(active);
        let low = self.up.low_grads(&d_hidden)?;
        if self.up.learns() {
            self.up.weight_grads(&self.norm.apply(x)?, &d_hidden, &low, sink)?;
        }
        let mut d_x = self.up.input_grad(&d_hidden, &low)?;
        self.norm.backward_strided(x, &mut d_x, self.norm.width(), 0, 1, sink)?;
        if self.residual {
            simd::par_add(&mut d_x, &d_y);
        }
        Ok(d_x)
    }

    fn compose(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.elem_count() / self.norm.width();
        let h = self.norm.compose_last(&x.reshape((rows, self.norm.width()))?)?;
        let h = h.reshape((x.elem_count() / self.up.inner(), self.up.inner()))?;
        let y = self.down.compose(&self.act.compose(&self.up.compose(&h)?)?)?;
        if self.residual { x + y } else { Ok(y) }
    }
}
