//! What the compositions need that candle lacks, on every device: a product with a frozen weight, and operations that run
//! again in the backward pass.
//!
//! candle would compute the gradient of a frozen weight and keep it for the whole backward pass, and it keeps every
//! intermediate of every operation. Both are made of candle's own operations, so they run wherever those do.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Error, Layout, Result, Shape, Storage, Tensor, TensorId, Var, bail,
};

use super::layer::{Layer, Mode};
use super::sink::{GradSink, Weight};

/// `x @ w^T` of rows `[T, in]`.
pub(crate) fn product(x: &Tensor, w_oi: &Weight) -> Result<Tensor> {
    let (outs, inner) = (w_oi.var().dim(0)?, x.dim(1)?);
    let w = w_oi.tensor().reshape((outs, inner))?;
    match w_oi.is_trainable() || !x.track_op() {
        true => x.matmul(&w.t()?),
        false => x.apply_op1(Frozen { w }),
    }
}

/// The product with a weight that has no gradient.
struct Frozen {
    w: Tensor,
}

impl Frozen {
    fn shape(&self, x: &Layout) -> Result<(usize, usize, usize)> {
        let ((rows, inner), outs) = (x.shape().dims2()?, self.w.dim(0)?);
        Ok((rows, outs, inner))
    }

    fn run<S: BackendStorage>(
        &self,
        x: &S,
        x_layout: &Layout,
        w: &S,
        w_layout: &Layout,
    ) -> Result<(S, Shape)> {
        let (rows, outs, inner) = self.shape(x_layout)?;
        let y = x.matmul(w, (1, rows, outs, inner), x_layout, &w_layout.transpose(0, 1)?)?;
        Ok((y, (rows, outs).into()))
    }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "frozen-product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (storage, w_layout) = self.w.storage_and_layout();
        let Storage::Cpu(w) = &*storage else { bail!("a weight that is not on the CPU, as its rows are") };
        self.run(x, layout, w, w_layout)
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (storage, w_layout) = self.w.storage_and_layout();
        let Storage::Cuda(w) = &*storage else { bail!("a weight that is not on the GPU, as its rows are") };
        self.run(x, layout, w, w_layout)
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, d_y: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(d_y.contiguous()?.matmul(&self.w)?))
    }
}

/// An operation that keeps its input alone and runs again in the backward pass.
pub(crate) trait Again: Send + Sync {
    /// What it makes of `x`.
    fn run(&self, x: &Tensor) -> Result<Tensor>;

    /// The gradient of `x`, `None` where there is none; those of weights go where they belong.
    fn pull(&self, x: &Tensor, d_y: &Tensor) -> Result<Option<Tensor>>;
}

/// Runs `op` on `x`, which must be tracked: candle would drop an operation whose input has no gradient.
pub(crate) fn again(x: &Tensor, op: impl Again + 'static) -> Result<Tensor> {
    let y = op.run(&x.detach())?.detach().force_contiguous()?;
    x.apply_op1(Recomputed { op, y: Mutex::new(Some(y)) })
}

/// What the gradient `d_y` of `run(x)` means for `x`, and for all else that `run` reads.
pub(crate) fn pulled(
    run: impl FnOnce(&Tensor) -> Result<Tensor>,
    x: &Tensor,
    d_y: &Tensor,
) -> Result<(Option<Tensor>, GradStore)> {
    let x = Var::from_tensor(&x.detach())?;
    // candle differentiates scalars: this one's gradient in `run(x)` is `d_y`.
    let scalar = (run(x.as_tensor())? * d_y.detach())?.sum_all()?;
    let mut store = scalar.backward()?;
    Ok((store.remove(x.as_tensor()), store))
}

struct Recomputed<A> {
    op: A,
    /// The output, until the forward pass hands it over.
    y: Mutex<Option<Tensor>>,
}

impl<A> Recomputed<A> {
    fn take(&self) -> Result<Tensor> {
        let y = self.y.lock().unwrap_or_else(PoisonError::into_inner).take();
        y.ok_or_else(|| Error::Msg("a second forward pass of one operation".into()).bt())
    }
}

impl<A: Again> CustomOp1 for Recomputed<A> {
    fn name(&self) -> &'static str {
        "recomputed"
    }

    fn cpu_fwd(&self, _x: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Cpu(values) = &*storage else { bail!("what ran on the CPU left it") };
        Ok((values.try_clone(layout)?, layout.shape().clone()))
    }

    fn cuda_fwd(&self, _x: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Cuda(values) = &*storage else { bail!("what ran on the GPU left it") };
        Ok((values.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, d_y: &Tensor) -> Result<Option<Tensor>> {
        self.op.pull(x, d_y)
    }
}

/// Layer `at` of `layers`; the gradients of its weights go to `sink`.
pub(crate) struct LayerAgain {
    pub layers: Arc<Vec<Box<dyn Layer>>>,
    pub at: usize,
    pub sink: GradSink,
}

impl Again for LayerAgain {
    fn run(&self, x: &Tensor) -> Result<Tensor> {
        self.layers[self.at].compose(x)
    }

    fn pull(&self, x: &Tensor, d_y: &Tensor) -> Result<Option<Tensor>> {
        let (d_x, mut store) = pulled(|x| self.run(x), x, d_y)?;
        let weights: Vec<Weight> = self.layers[self.at].weights().into_iter().cloned().collect();
        self.sink.absorb(&mut store, &weights)?;
        Ok(d_x)
    }
}

/// `map` of all rows of `x`, so many at a time; which rows they are is said to it. It reads `weights`, and what it keeps
/// for a backward pass is made again there.
pub(crate) fn by_rows(
    x: &Tensor,
    map: impl Fn(&Tensor, Range<usize>) -> Result<Tensor> + Send + Sync + 'static,
    (weights, rows): (Vec<Weight>, usize),
    mode: &Mode,
) -> Result<Tensor> {
    let sink = mode.sink.clone().unwrap_or_default();
    let op = RowsAgain { map, rows, weights, sink };
    match mode.sink {
        None => op.run(&x.detach()),
        Some(_) if x.track_op() => again(x, op),
        // Nothing but `weights` learns: candle would drop an operation that runs again.
        Some(_) => op.parts(x, |part| part),
    }
}

struct RowsAgain<F> {
    map: F,
    rows: usize,
    weights: Vec<Weight>,
    sink: GradSink,
}

impl<F: Fn(&Tensor, Range<usize>) -> Result<Tensor> + Send + Sync> RowsAgain<F> {
    fn ranges(&self, all: usize) -> impl Iterator<Item = Range<usize>> + use<F> {
        let rows = self.rows.max(1);
        (0..all).step_by(rows).map(move |first| first..all.min(first + rows))
    }

    /// The rows of all parts, each as `done` leaves it.
    fn parts(&self, x: &Tensor, done: impl Fn(Tensor) -> Tensor) -> Result<Tensor> {
        let part = |part: Range<usize>| {
            let rows = x.narrow(0, part.start, part.len())?;
            (self.map)(&rows, part).map(&done)
        };
        Tensor::cat(&self.ranges(x.dim(0)?).map(part).collect::<Result<Vec<_>>>()?, 0)
    }
}

impl<F: Fn(&Tensor, Range<usize>) -> Result<Tensor> + Send + Sync> Again for RowsAgain<F> {
    fn run(&self, x: &Tensor) -> Result<Tensor> {
        self.parts(x, |part| part.detach())
    }

    fn pull(&self, x: &Tensor, d_y: &Tensor) -> Result<Option<Tensor>> {
        let (mut d_x, mut sums) = (Vec::new(), HashMap::<TensorId, Tensor>::new());
        for part in self.ranges(x.dim(0)?) {
            let rows = |x: &Tensor| x.narrow(0, part.start, part.len());
            let (own, mut store) = pulled(|x| (self.map)(x, part.clone()), &rows(x)?, &rows(d_y)?)?;
            d_x.extend(own);
            // On the device: a gradient as large as the head goes to the host once.
            for weight in self.weights.iter().map(|weight| weight.var().as_tensor()) {
                let Some(grad) = store.remove(weight) else { continue };
                let sum = match sums.remove(&weight.id()) {
                    Some(sum) => (sum + grad)?,
                    None => grad,
                };
                sums.insert(weight.id(), sum);
            }
        }
        for weight in &self.weights {
            // Once, also where it is read twice.
            if let Some(grad) = sums.remove(&weight.var().as_tensor().id()) {
                self.sink.add_tensor(weight, &grad)?;
            }
        }
        Ok(if d_x.is_empty() { None } else { Some(Tensor::cat(&d_x, 0)?) })
    }
}
