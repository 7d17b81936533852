//! Weights, and where their gradients go.
//!
//! candle's operations have at most three arguments, and for each it zero-fills a gradient and adds to
//! it in fresh memory. Our layers hold their weights and add to a [`GradSink`] in place; a frozen weight
//! costs neither memory nor arithmetic.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
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
    uses: Mutex<Option<Uses>>,
}

/// How many operations of a graph will still add to the gradient of a weight, and who is told when there
/// are none left.
#[derive(Debug)]
struct Uses {
    left: HashMap<TensorId, usize>,
    told: Sender<TensorId>,
}

/// A gradient taken out of a sink, flat.
#[derive(Debug)]
pub struct Gradient(Buffer);

impl Deref for Gradient {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
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

    /// Takes the gradient of `var` out, if any was collected; its memory serves again when it is dropped.
    pub fn take(&self, var: &Tensor) -> Option<Gradient> {
        self.grads().remove(&var.id()).map(Gradient)
    }

    /// From now on `told` hears of every weight to whose gradient a backward pass has added for the last
    /// time: the operations of forward passes that follow are counted for each, and its backward ones
    /// counted off. A weight whose uses are not known one by one is never told of.
    pub fn watch(&self, told: Sender<TensorId>) {
        *self.uses() = Some(Uses { left: HashMap::new(), told });
    }

    /// Ends [`GradSink::watch`].
    pub fn unwatch(&self) {
        *self.uses() = None;
    }

    /// An operation of a forward pass will add to the gradients of `weights`.
    pub(crate) fn expect<'a>(&self, weights: impl IntoIterator<Item = &'a Weight>) {
        let mut uses = self.uses();
        let Some(uses) = &mut *uses else { return };
        for weight in weights.into_iter().filter(|weight| weight.is_trainable()) {
            *uses.left.entry(weight.var().as_tensor().id()).or_default() += 1;
        }
    }

    /// That operation's backward pass has added all that it will.
    pub(crate) fn settle<'a>(&self, weights: impl IntoIterator<Item = &'a Weight>) {
        let mut uses = self.uses();
        let Some(Uses { left, told }) = &mut *uses else { return };
        for weight in weights.into_iter().filter(|weight| weight.is_trainable()) {
            let id = weight.var().as_tensor().id();
            let Some(left) = left.get_mut(&id) else { continue };
            *left = left.saturating_sub(1);
            if *left == 0 {
                // Who no longer listens need not know.
                let _ = told.send(id);
            }
        }
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

    fn uses(&self) -> MutexGuard<'_, Option<Uses>> {
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grads(&self) -> MutexGuard<'_, HashMap<TensorId, Buffer>> {
        self.0.by_weight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
