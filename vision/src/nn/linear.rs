//! Linear layers with weights stored `[out, in]`, as checkpoints store them.

use candle_core::{Device, Result, Tensor, Var};
use rayon::prelude::*;

use super::anywhere;
use super::buffers::Buffer;
use super::layer::{Layer, Saved};
use super::lora::Lora;
use super::matmul::{Mat, Write, par_matmul, product};
use super::simd::{add, par_rows, vectorised};
use super::sink::{GradSink, Weight};
use super::skinny;

/// Rows whose bias gradients are summed by one task; fixed, so that the sum is, too.
const ROWS_PER_SUM: usize = 256;

/// `x @ weight^T + bias`, and what adapters add to it. A frozen weight costs no gradient.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// `[out, in]`
    pub weight: Weight,
    /// `[out]`
    pub bias: Option<Weight>,
    /// Adapters of the modules that the layer is made of; none of them share an output.
    pub lora: Vec<Lora>,
}

impl Linear {
    /// A layer without adapters.
    pub(crate) fn new(weight: Weight, bias: Option<Weight>) -> Self {
        Self { weight, bias, lora: vec![] }
    }

    pub(crate) fn out(&self) -> usize {
        self.weight.var().dims().first().copied().unwrap_or(0)
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Weight> {
        let adapters = self.lora.iter().flat_map(|lora| [&lora.a, &lora.b]);
        std::iter::once(&self.weight).chain(&self.bias).chain(adapters)
    }

    pub(crate) fn inner(&self) -> usize {
        self.weight.var().elem_count() / self.out().max(1)
    }

    pub(crate) fn apply(&self, x: &[f32]) -> Result<Buffer> {
        let mut y = Buffer::new(x.len() / self.inner() * self.out());
        self.write(x, &mut y, Write::Replace)?;
        Ok(y)
    }

    /// [`Linear::apply`] for few rows, each of whose bytes do not depend on the others.
    pub(crate) fn apply_few(&self, x: &[f32]) -> Result<Buffer> {
        let mut y = skinny::product(x, &self.weight.host()?, self.inner());
        if let Some(bias) = &self.bias {
            let bias = bias.host()?;
            vectorised(|| y.chunks_exact_mut(bias.len()).for_each(|row| add(row, &bias)));
        }
        self.lora.iter().try_for_each(|lora| lora.add_few(x, &mut y, self.out()))?;
        Ok(y)
    }

    /// The weight with its adapters added to it.
    pub(crate) fn merged(&self) -> Result<Weight> {
        let (var, mut values) = (self.weight.var(), self.weight.values()?);
        self.lora.iter().try_for_each(|lora| lora.add_to_weight(&mut values))?;
        let merged = Tensor::from_vec(values, var.shape(), &Device::Cpu)?;
        Ok(Weight::new(Var::from_tensor(&merged.to_dtype(var.dtype())?.to_device(var.device())?)?))
    }

    /// Enters a pass of training, whose seed decides what adapters drop.
    pub(crate) fn enter(&mut self, pass: Option<u64>) {
        self.lora.iter_mut().for_each(|lora| lora.dropout.pass = pass);
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
        self.lora.iter().try_for_each(|lora| lora.add_to(x, y, out))
    }

    /// What adapters make of the output's gradient first; both gradients below need it.
    pub(crate) fn low_grads(&self, d_y: &[f32]) -> Result<Vec<Buffer>> {
        self.lora.iter().map(|lora| lora.low_grad(d_y, self.out())).collect()
    }

    /// Adds the gradients of weight, bias and adapters to `sink`.
    pub(crate) fn weight_grads(&self, x: &[f32], d_y: &[f32], low: &[Buffer], sink: &GradSink) -> Result<()> {
        let (inner, out) = (self.inner(), self.out());
        sink.add(&self.weight, |grad, write| {
            par_matmul(grad, write, 1.0, Mat::new(d_y, out).t(), Mat::new(x, inner));
        });
        if let Some(bias) = self.bias.as_ref().filter(|bias| bias.is_trainable()) {
            sink.add_slice(bias, &column_sums(d_y, out));
        }
        let adapters = self.lora.iter().zip(low);
        adapters.into_iter().try_for_each(|(lora, low)| lora.weight_grads(x, d_y, low, out, sink))
    }

    /// The gradient of the input.
    pub(crate) fn input_grad(&self, d_y: &[f32], low: &[Buffer]) -> Result<Buffer> {
        let (inner, out) = (self.inner(), self.out());
        let mut d_x = product(Mat::new(d_y, out), Mat::new(&self.weight.host()?, inner));
        self.lora.iter().zip(low).try_for_each(|(lora, low)| lora.add_input_grad(low, &mut d_x))?;
        Ok(d_x)
    }

    /// The adapters' changes of all outputs in plain candle operations, zeros where there is no adapter.
    fn compose_changes(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let mut adapters: Vec<&Lora> = self.lora.iter().collect();
        adapters.sort_by_key(|lora| lora.outputs.start);
        let (mut changes, mut end) = (Vec::new(), 0);
        let zeros = |width: usize| Tensor::zeros((x.dim(0)?, width), x.dtype(), x.device());
        for lora in adapters {
            if lora.outputs.start > end {
                changes.push(zeros(lora.outputs.start - end)?);
            }
            changes.push(lora.compose(x)?);
            end = lora.outputs.end;
        }
        if end > 0 && end < self.out() {
            changes.push(zeros(self.out() - end)?);
        }
        if changes.is_empty() { Ok(None) } else { Tensor::cat(&changes, 1).map(Some) }
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
        let low = self.low_grads(&d_y)?;
        self.weight_grads(x, &d_y, &low, sink)?;
        self.input_grad(&d_y, &low)
    }

    fn backward_weights(&self, x: &[f32], _saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<()> {
        self.weight_grads(x, &d_y, &self.low_grads(&d_y)?, sink)
    }

    fn compose(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = anywhere::product(x, &self.weight)?;
        if let Some(bias) = &self.bias {
            y = y.broadcast_add(&bias.tensor())?;
        }
        match self.compose_changes(x)? {
            Some(changes) => y + changes,
            None => Ok(y),
        }
    }
}
