//! What the compositions need that candle lacks, on every device: a product with a frozen weight, and a layer that is run
//! again in the backward pass.
//!
//! candle would compute the gradient of a frozen weight and keep it for the whole backward pass, and it keeps every
//! intermediate of every layer. Both operations are made of candle's own, so they run wherever those do.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Error, Layout, Result, Shape, Storage, Tensor, Var, bail,
};

use super::layer::Layer;
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

/// Runs layer `at` of `layers` on `x` without keeping anything but `x`; the gradients of its weights go to `sink`.
pub(crate) fn recomputed(
    layers: &Arc<Vec<Box<dyn Layer>>>,
    at: usize,
    x: &Tensor,
    sink: &GradSink,
) -> Result<Tensor> {
    let y = layers[at].compose(&x.detach())?.detach().force_contiguous()?;
    x.apply_op1(Recomputed { layers: layers.clone(), at, y: Mutex::new(Some(y)), sink: sink.clone() })
}

struct Recomputed {
    layers: Arc<Vec<Box<dyn Layer>>>,
    at: usize,
    /// The output, until the forward pass hands it over.
    y: Mutex<Option<Tensor>>,
    sink: GradSink,
}

impl Recomputed {
    fn take(&self) -> Result<Tensor> {
        let y = self.y.lock().unwrap_or_else(PoisonError::into_inner).take();
        y.ok_or_else(|| Error::Msg("a second forward pass of one layer".into()).bt())
    }
}

impl CustomOp1 for Recomputed {
    fn name(&self) -> &'static str {
        "recomputed-layer"
    }

    fn cpu_fwd(&self, _x: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Cpu(values) = &*storage else { bail!("a layer left the CPU") };
        Ok((values.try_clone(layout)?, layout.shape().clone()))
    }

    fn cuda_fwd(&self, _x: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let y = self.take()?;
        let (storage, layout) = y.storage_and_layout();
        let Storage::Cuda(values) = &*storage else { bail!("a layer left the GPU") };
        Ok((values.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, d_y: &Tensor) -> Result<Option<Tensor>> {
        let (layer, x) = (&self.layers[self.at], Var::from_tensor(&x.detach())?);
        // candle differentiates scalars: this one's gradient in `y` is `d_y`.
        let pulled = (layer.compose(x.as_tensor())? * d_y.detach())?.sum_all()?;
        let mut store = pulled.backward()?;
        let d_x = store.remove(x.as_tensor());
        let weights: Vec<Weight> = layer.weights().into_iter().cloned().collect();
        self.sink.absorb(&mut store, &weights)?;
        Ok(d_x)
    }
}
