//! The arithmetic of AdamW in one pass over memory: each weight, its gradient and its two moments are
//! read once and written once, with no temporaries. Chunks are independent, so the result does not
//! depend on the number of threads.

use super::AdamWConfig;
use crate::Result;
use candle_core::{CpuStorage, InplaceOp1, Layout, Var, bail};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Values a task takes at a time: large enough to hide the scheduling, small enough for two levels of
/// cache.
pub(crate) const CHUNK: usize = 1 << 14;

/// The numbers of one update of one variable, worked out in f64.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    clip: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    rate1: f32,
    rate2: f32,
    size: f32,
    unbias: f32,
    epsilon: f32,
}

impl Step {
    /// Update number `step` (from 1) at rate `lr`, weights shrunk by `decay`, gradients scaled by `clip`.
    pub(super) fn new(config: &AdamWConfig, step: u64, lr: f64, decay: f64, clip: f64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            clip: clip as f32,
            keep: (1.0 - decay) as f32,
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            rate1: (1.0 - config.beta1) as f32,
            rate2: (1.0 - config.beta2) as f32,
            size: (lr / correction(config.beta1)) as f32,
            unbias: correction(config.beta2).sqrt().recip() as f32,
            epsilon: config.epsilon as f32,
        }
    }

    /// Changes `weights`, `mean` and `square` in place.
    pub(super) fn run(&self, weights: &mut [f32], mean: &mut [f32], square: &mut [f32], grad: &[f32]) {
        let weights = weights.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK));
        let moments = mean.par_chunks_mut(CHUNK).zip(square.par_chunks_mut(CHUNK));
        weights.zip(moments).for_each(|((w, g), (m, v))| self.chunk(w, g, m, v));
    }

    fn chunk(&self, weights: &mut [f32], grad: &[f32], mean: &mut [f32], square: &mut [f32]) {
        for (((w, g), m), v) in weights.iter_mut().zip(grad).zip(mean).zip(square) {
            let g = g * self.clip;
            *m = self.beta1 * *m + self.rate1 * g;
            *v = self.beta2 * *v + self.rate2 * g * g;
            *w = self.keep * *w - self.size * *m / (v.sqrt() * self.unbias + self.epsilon);
        }
    }
}

/// The sum of squares in f64: partial sums of fixed chunks, added in order.
pub(super) fn sum_of_squares(grad: &[f32]) -> f64 {
    chunk_squares(grad).iter().sum()
}

/// The sums of squares of chunks of [`CHUNK`] values.
pub(crate) fn chunk_squares(grad: &[f32]) -> Vec<f64> {
    let chunk = |values: &[f32]| values.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    grad.par_chunks(CHUNK).map(chunk).collect()
}

/// Runs `step` on a part of the memory of an f32 variable on the CPU.
pub(super) fn in_place(
    step: &Step,
    (var, part): (&Var, &Range<usize>),
    moments: (&mut [f32], &mut [f32]),
    grad: &[f32],
) -> Result<()> {
    Ok(var.inplace_op1(&Update { step, part, rest: RefCell::new(moments), grad })?)
}

/// candle lends the memory of a variable to an operation that it thinks constant.
struct Update<'a> {
    step: &'a Step,
    part: &'a Range<usize>,
    rest: RefCell<(&'a mut [f32], &'a mut [f32])>,
    grad: &'a [f32],
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else { bail!("adamw: the variable is not f32") };
        let Some((start, _)) = layout.contiguous_offsets() else {
            bail!("adamw: the variable is not contiguous")
        };
        let mut rest = self.rest.borrow_mut();
        let (mean, square) = &mut *rest;
        let values = &mut values[start + self.part.start..start + self.part.end];
        self.step.run(values, mean, square, self.grad);
        Ok(())
    }
}
