//! Patches to rows: the patch convolution as a matrix product, and the learned positions (Qwen3-VL).
//!
//! A still image is published as two equal frames. Their products with the kernel's two halves are the
//! product of one frame with the halves' sum, so one frame is stored and multiplied.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::buffers::Buffer;
use super::layer::{Layer, Saved};
use super::linear::column_sums;
use super::matmul::{Mat, Write, par_matmul, product};
use super::simd::{add, par_rows};
use super::sink::{GradSink, Weight};

/// Where each patch samples the position table: four rows and their weights.
pub(crate) type PositionTaps = Arc<Vec<[(u32, f32); 4]>>;

/// `patch @ folded(weight)^T + bias + positions`.
#[derive(Clone, Debug)]
pub(crate) struct PatchEmbed {
    /// `[out, channels, frames, side, side]`
    pub weight: Weight,
    pub bias: Option<Weight>,
    /// The table, `[places, out]`, and this row's samples of it.
    pub positions: Option<(Weight, PositionTaps)>,
}

/// The kernel's sizes.
struct Sizes {
    out: usize,
    channels: usize,
    frames: usize,
    area: usize,
}

impl PatchEmbed {
    fn sizes(&self) -> Result<Sizes> {
        let (out, channels, frames, height, width) = self.weight.var().dims5()?;
        Ok(Sizes { out, channels, frames, area: height * width })
    }

    fn folded(&self) -> Result<Buffer> {
        let Sizes { out, channels, frames, area } = self.sizes()?;
        let weight = self.weight.host()?;
        let mut folded = Buffer::zeros(out * channels * area);
        for (folded, kernel) in folded.chunks_exact_mut(area).zip(weight.chunks_exact(frames * area)) {
            kernel.chunks_exact(area).for_each(|frame| add(folded, frame));
        }
        Ok(folded)
    }

    fn fold_grads(&self, x: &[f32], d_y: &[f32], sink: &GradSink) -> Result<()> {
        let Sizes { out, channels, frames, area } = self.sizes()?;
        if self.weight.is_trainable() {
            let d_folded = product(Mat::new(d_y, out).t(), Mat::new(x, channels * area));
            sink.add(&self.weight, |grad, write| {
                for (grad, d) in grad.chunks_exact_mut(frames * area).zip(d_folded.chunks_exact(area)) {
                    for frame in grad.chunks_exact_mut(area) {
                        match write {
                            Write::Replace => frame.copy_from_slice(d),
                            Write::Add => add(frame, d),
                        }
                    }
                }
            });
        }
        if let Some(bias) = self.bias.as_ref().filter(|bias| bias.is_trainable()) {
            sink.add_slice(bias, &column_sums(d_y, out));
        }
        let Some((table, taps)) = &self.positions else { return Ok(()) };
        sink.add(table, |grad, write| {
            if write == Write::Replace {
                grad.fill(0.0);
            }
            for (d, taps) in d_y.chunks_exact(out).zip(taps.iter()) {
                for &(place, weight) in taps {
                    let row = &mut grad[place as usize * out..][..out];
                    row.iter_mut().zip(d).for_each(|(row, d)| *row += weight * d);
                }
            }
        });
        Ok(())
    }
}

impl Layer for PatchEmbed {
    fn widths(&self) -> (usize, usize) {
        self.sizes().map_or((0, 0), |sizes| (sizes.channels * sizes.area, sizes.out))
    }

    fn weights(&self) -> Vec<&Weight> {
        let table = self.positions.iter().map(|(table, _)| table);
        std::iter::once(&self.weight).chain(&self.bias).chain(table).collect()
    }

    fn forward(&self, x: &[f32]) -> Result<(Buffer, Saved)> {
        let (inner, out) = self.widths();
        let mut y = Buffer::zeros(x.len() / inner * out);
        let bias = self.bias.as_ref().map(Weight::host).transpose()?;
        let table = self.positions.as_ref().map(|(table, _)| table.host()).transpose()?;
        let (bias, table) = (bias.as_deref(), table.as_deref());
        par_rows(&mut y, out, |first, rows| {
            for (patch, row) in (first..).zip(rows.chunks_exact_mut(out)) {
                if let Some(bias) = bias {
                    add(row, bias);
                }
                let (Some(table), Some((_, taps))) = (table, &self.positions) else { continue };
                for &(place, weight) in &taps[patch] {
                    let sample = &table[place as usize * out..][..out];
                    row.iter_mut().zip(sample).for_each(|(row, sample)| *row += weight * sample);
                }
            }
        });
        par_matmul(&mut y, Write::Add, 1.0, Mat::new(x, inner), Mat::new(&self.folded()?, inner).t());
        Ok((y, Saved::new()))
    }

    fn backward(&self, x: &[f32], _saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<Buffer> {
        self.fold_grads(x, &d_y, sink)?;
        let (inner, out) = self.widths();
        Ok(product(Mat::new(&d_y, out), Mat::new(&self.folded()?, inner)))
    }

    fn backward_weights(&self, x: &[f32], _saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<()> {
        self.fold_grads(x, &d_y, sink)
    }

    fn compose(&self, x: &Tensor) -> Result<Tensor> {
        let (inner, out) = self.widths();
        let folded = self.weight.tensor().sum(2)?.reshape((out, inner))?;
        let mut y = x.matmul(&folded.t()?)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.tensor())?;
        }
        let Some((table, taps)) = &self.positions else { return Ok(y) };
        for tap in 0..4 {
            let places: Vec<u32> = taps.iter().map(|taps| taps[tap].0).collect();
            let weights: Vec<f32> = taps.iter().map(|taps| taps[tap].1).collect();
            let places = Tensor::from_vec(places, taps.len(), x.device())?;
            let weights = Tensor::from_vec(weights, (taps.len(), 1), x.device())?.to_dtype(x.dtype())?;
            y = (y + table.tensor().index_select(&places, 0)?.broadcast_mul(&weights)?)?;
        }
        Ok(y)
    }
}
