//! What every layer here is, and how a chain of layers becomes one node of candle's graph.
//!
//! A [`Layer`] maps rows to rows, has a backward pass that adds its weights' gradients to a
//! [`GradSink`], and a plain composition of candle operations that says the same on every device. A
//! [`Chain`] runs layers one after another as a single graph node: candle then neither zero-fills nor
//! copies a gradient at every edge. Where rows are on a CPU in f32 and nobody asked for the
//! composition, the chain takes the fast path.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};

use super::anywhere::{LayerAgain, again};
use super::attention_block::KvTap;
use super::buffers::Buffer;
use super::host::{Host, floats};
use super::sink::{GradSink, Weight};

/// What the backward pass of a layer needs besides its input.
pub(crate) type Saved = Vec<Buffer>;

/// A differentiable map of rows `[T, in]` to rows `[T', out]`.
pub(crate) trait Layer: Debug + Send + Sync {
    /// Widths of the input and output rows.
    fn widths(&self) -> (usize, usize);

    /// How many rows come of `rows`.
    fn rows(&self, rows: usize) -> usize {
        rows
    }

    /// The weights to which [`Layer::backward`] adds gradients. One that is not named here is only known to
    /// have its whole gradient when the backward pass is over.
    fn weights(&self) -> Vec<&Weight> {
        vec![]
    }

    /// Whether a backward pass has the gradient of any weight to compute.
    fn learns(&self) -> bool {
        self.weights().into_iter().any(Weight::is_trainable)
    }

    /// Output rows and what [`Layer::backward`] will need.
    fn forward(&self, x: &[f32]) -> Result<(Buffer, Saved)>;

    /// The gradient of `x`; the weights' gradients go to `sink`.
    fn backward(&self, x: &[f32], saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<Buffer>;

    /// [`Layer::backward`] where nobody wants the gradient of `x`.
    fn backward_weights(&self, x: &[f32], saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<()> {
        self.backward(x, saved, d_y, sink).map(|_| ())
    }

    /// The same in plain candle operations, differentiable on any device.
    fn compose(&self, x: &Tensor) -> Result<Tensor>;
}

/// How layers run.
#[derive(Clone, Debug, Default)]
pub struct Mode {
    /// Where gradients go; `None` when nobody will differentiate.
    pub sink: Option<GradSink>,
    /// Keep only the input of each layer and run its forward pass again in the backward pass.
    pub checkpoint: bool,
    /// Use the compositions of candle operations even where there is a fast path.
    pub composed: bool,
    /// Receives the keys and values of every text layer.
    pub(crate) tap: Option<KvTap>,
    /// Of this pass of training: decides what adapters drop. `None` where nothing is dropped.
    pub(crate) pass: Option<u64>,
}

impl Mode {
    pub(crate) fn tapped(self, tap: &KvTap) -> Self {
        Self { tap: Some(tap.clone()), ..self }
    }

    /// What ties an operation to the graph ([`GradSink::anchor`]); a constant where there is no sink.
    pub(crate) fn anchor(&self) -> Result<Tensor> {
        match &self.sink {
            Some(sink) => sink.anchor(),
            None => Tensor::zeros(1, DType::F32, &Device::Cpu),
        }
    }

    /// Whether `x` has no fast path.
    pub(crate) fn composes(&self, x: &Tensor) -> bool {
        self.composed || !x.device().is_cpu() || x.dtype() != DType::F32
    }
}

/// Layers, one after another.
#[derive(Clone, Debug)]
pub(crate) struct Chain(pub Arc<Vec<Box<dyn Layer>>>);

impl Chain {
    pub(crate) fn new(layers: Vec<Box<dyn Layer>>) -> Self {
        Self(Arc::new(layers))
    }

    /// Runs the chain on `x`, `[T, in]`.
    pub(crate) fn apply(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        if mode.composes(x) {
            return self.compose(x, mode);
        }
        let Some(first) = self.0.first() else { return Ok(x.clone()) };
        let (rows, width) = x.dims2()?;
        if width != first.widths().0 {
            bail!("rows of width {width} for a layer of width {}", first.widths().0);
        }
        let from = self.learns_from(x, mode);
        let mode = Mode { sink: mode.sink.clone().filter(|_| from < self.0.len()), ..mode.clone() };
        let anchor = mode.anchor()?;
        let op = ChainOp { chain: self.clone(), rows, mode, from, tape: Mutex::default() };
        x.contiguous()?.apply_op2(&anchor, op)
    }

    fn compose(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = x.clone();
        for (at, layer) in self.0.iter().enumerate() {
            x = match &mode.sink {
                // Nobody will differentiate: what candle keeps for it goes layer by layer.
                None => layer.compose(&x)?.detach(),
                // Where the input has no gradient, candle would drop a layer that runs again.
                Some(sink) if mode.checkpoint && x.track_op() => {
                    again(&x, LayerAgain { layers: self.0.clone(), at, sink: sink.clone() })?
                }
                Some(_) => layer.compose(&x)?,
            };
        }
        Ok(x)
    }

    /// The first layer that a backward pass reaches; their number where it reaches none.
    fn learns_from(&self, x: &Tensor, mode: &Mode) -> usize {
        match &mode.sink {
            None => self.0.len(),
            Some(_) if x.track_op() => 0,
            Some(_) => self.0.iter().position(|layer| layer.learns()).unwrap_or(self.0.len()),
        }
    }
}

/// The fast forward pass alone.
fn run(layers: &[Box<dyn Layer>], x: &[f32]) -> Result<Buffer> {
    let mut x = Buffer::copy_of(x);
    for layer in layers {
        x = layer.forward(&x)?.0;
    }
    Ok(x)
}

/// The input of every layer from [`ChainOp::from`] on (but candle keeps that of the chain) and what each
/// saved.
#[derive(Default)]
struct Tape {
    inputs: Vec<Buffer>,
    saved: Vec<Option<Saved>>,
}

struct ChainOp {
    chain: Chain,
    rows: usize,
    mode: Mode,
    /// The first layer that a backward pass reaches: those before it leave nothing behind.
    from: usize,
    tape: Mutex<Tape>,
}

impl ChainOp {
    fn forward(&self, x: &[f32]) -> Result<Buffer> {
        let (before, after) = self.chain.0.split_at(self.from);
        let (false, Some(sink)) = (after.is_empty(), &self.mode.sink) else {
            return run(&self.chain.0, x);
        };
        after.iter().for_each(|layer| sink.expect(layer.weights()));
        let mut tape = Tape::default();
        if !before.is_empty() {
            tape.inputs.push(run(before, x)?);
        }
        for layer in after {
            let input = tape.inputs.last().map_or(x, |input| input);
            let (y, saved) = layer.forward(input)?;
            tape.saved.push((!self.mode.checkpoint).then_some(saved));
            tape.inputs.push(y);
        }
        let y = tape.inputs.pop().unwrap_or_default();
        *self.tape.lock().unwrap_or_else(PoisonError::into_inner) = tape;
        Ok(y)
    }

    fn shape(&self) -> Shape {
        let rows = self.chain.0.iter().fold(self.rows, |rows, layer| layer.rows(rows));
        let width = self.chain.0.last().map_or(0, |layer| layer.widths().1);
        (rows, width).into()
    }
}

impl CustomOp2 for ChainOp {
    fn name(&self) -> &'static str {
        "layers"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        _anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = self.forward(floats(x, layout)?)?;
        Ok((CpuStorage::F32(y.into_vec()), self.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        d_y: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(sink) = &self.mode.sink else { bail!("a backward pass through layers without a sink") };
        let mut tape = std::mem::take(&mut *self.tape.lock().unwrap_or_else(PoisonError::into_inner));
        let d_y = d_y.contiguous()?;
        let mut d = Buffer::copy_of(&Host::of(&d_y)?);
        let x_host = Host::of(x)?;
        for layer in self.chain.0[self.from..].iter().rev() {
            let Some(saved) = tape.saved.pop() else { bail!("a second backward pass through layers") };
            let input = tape.inputs.pop();
            let first = tape.saved.is_empty();
            let input = input.as_ref().map_or(&*x_host, |input| input);
            let saved = match saved {
                Some(saved) => saved,
                None => layer.forward(input)?.1,
            };
            if first && !x.track_op() {
                layer.backward_weights(input, saved, d, sink)?;
                sink.settle(layer.weights());
                return Ok((None, None));
            }
            d = layer.backward(input, saved, d, sink)?;
            sink.settle(layer.weights());
        }
        Ok((Some(Tensor::from_vec(d.into_vec(), x.shape(), x.device())?), None))
    }
}

/// Differentiates `loss`; every gradient ends in `sink`, also those candle collected for `weights`.
pub fn backward(loss: &Tensor, sink: &GradSink, weights: &[super::Weight]) -> Result<()> {
    let mut store = loss.backward()?;
    sink.absorb(&mut store, weights)
}
