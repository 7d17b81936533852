//! Weights, and where their gradients go.
//!
//! candle's operations have at most three arguments, and for each it zero-fills a gradient and adds to
//! it in fresh memory. Our layers hold their weights and add to a [`GradSink`] in place; a frozen weight
//! costs neither memory nor arithmetic.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, TensorId, Var};

use super::buffers::Buffer;
use super::host::Host;
use super::matmul::Write;

/// A weight of a layer, shared by the model, the layer and the optimiser.
#[derive(Clone, Debug)]
pub struct Weight(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    var: Var,
    trainable: AtomicBool,
}

impl Weight {
    /// A trainable weight.
    pub fn new(var: Var) -> Self {
        Self(Arc::new(Inner { var, trainable: AtomicBool::new(true) }))
    }

    /// The variable behind it.
    pub fn var(&self) -> &Var {
        &self.0.var
    }

    /// Whether backward passes compute its gradient.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Freezes or thaws the weight.
    pub fn set_trainable(&self, trainable: bool) {
        self.0.trainable.store(trainable, Ordering::Relaxed);
    }

    /// For compositions of candle operations: tracked only where trainable.
    pub(crate) fn tensor(&self) -> Tensor {
        if self.is_trainable() { self.0.var.as_tensor().clone() } else { self.0.var.as_detached_tensor() }
    }

    /// Its numbers, wherever they are.
    pub(crate) fn values(&self) -> Result<Vec<f32>> {
        let values = self.0.var.as_detached_tensor().flatten_all()?.to_device(&Device::Cpu)?;
        values.to_dtype(DType::F32)?.to_vec1()
    }

    pub(crate) fn host(&self) -> Result<Host<'_>> {
        Host::of(self.0.var.as_tensor())
    }
}

/// Collects gradients over any number of backward passes; clones share their contents.
#[derive(Clone, Debug, Default)]
pub struct GradSink(Arc<Grads>);

#[derive(Debug, Default)]
struct Grads {
    by_weight: Mutex<HashMap<TensorId, Buffer>>,
    anchor: OnceLock<Var>,
}

impl GradSink {
    /// Lets `write` fill or add to the gradient of `weight`, unless it is frozen.
    pub(crate) fn add(&self, weight: &Weight, write: impl FnOnce(&mut [f32], Write)) {
        if !weight.is_trainable() {
            return;
        }
        let id = weight.var().as_tensor().id();
        // Out of the map while it is written: `write` runs on the thread pool, where a task of another
        // pass may want the lock.
        let held = self.grads().remove(&id);
        let (mut grad, mode) = match held {
            Some(grad) => (grad, Write::Add),
            None => (Buffer::new(weight.var().elem_count()), Write::Replace),
        };
        write(&mut grad, mode);
        self.grads().insert(id, grad);
    }

    /// [`GradSink::add`] of a gradient at hand.
    pub(crate) fn add_slice(&self, weight: &Weight, values: &[f32]) {
        self.add(weight, |grad, write| match write {
            Write::Replace => grad.copy_from_slice(values),
            Write::Add => super::simd::par_add(grad, values),
        });
    }

    /// Lets `read` see the gradient of `var`, if any was collected.
    pub fn read<R>(&self, var: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Option<R> {
        self.grads().get(&var.id()).map(|grad| read(grad))
    }

    /// Forgets all gradients; their memory serves the next step.
    pub fn clear(&self) {
        self.grads().clear();
    }

    /// Moves what candle itself collected for `weights` into the sink.
    pub(crate) fn absorb(&self, store: &mut GradStore, weights: &[Weight]) -> Result<()> {
        for weight in weights {
            if let Some(grad) = store.remove(weight.var().as_tensor()) {
                self.add_tensor(weight, &grad)?;
            }
        }
        Ok(())
    }

    /// [`GradSink::add`] of a gradient that candle has, on whatever device.
    pub(crate) fn add_tensor(&self, weight: &Weight, grad: &Tensor) -> Result<()> {
        let grad = grad.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        self.add_slice(weight, &grad.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    /// A scalar variable that no one trains. An operation that takes it stays in candle's graph although
    /// its other inputs are frozen or are data; without it candle would drop the operation, and its
    /// weights' gradients, without a word.
    pub(crate) fn anchor(&self) -> Result<Tensor> {
        if let Some(anchor) = self.0.anchor.get() {
            return Ok(anchor.as_tensor().clone());
        }
        let made = Var::zeros(1, DType::F32, &Device::Cpu)?;
        Ok(self.0.anchor.get_or_init(|| made).as_tensor().clone())
    }

    fn grads(&self) -> MutexGuard<'_, HashMap<TensorId, Buffer>> {
        self.0.by_weight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
