//! AdamW with f32 masters, decoupled weight decay and clipping by the global norm.
//!
//! Decides how a gradient becomes a change of weights. It refuses a trainable variable without a
//! gradient: with candle that is how a graph that was cut somewhere shows itself. It knows no model and
//! no loss; gradients come through [`Gradients`].

mod kernel;
mod schedule;
mod state;

pub use schedule::{Schedule, ScheduleKind};

use crate::{Error, Result};
use candle_core::{DType, Tensor, Var};
use foveate_vision::models::Parameter;
use foveate_vision::nn::GradSink;
use kernel::Step;

/// Where gradients are read from.
pub trait Gradients {
    /// Lets `read` see the gradient of `var`, flat in f32; false if there is none.
    fn read(&self, var: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool;
}

impl Gradients for GradSink {
    fn read(&self, var: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool {
        GradSink::read(self, var, |grad| read(grad)).is_some()
    }
}

/// A variable and how it is trained.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The name in errors and in the saved state.
    pub name: String,
    /// The variable.
    pub var: Var,
    /// Whether weight decay applies (not to norms and biases).
    pub decay: bool,
    /// Multiplies the learning rate.
    pub lr_scale: f64,
}

impl From<&Parameter> for Slot {
    fn from(p: &Parameter) -> Self {
        Self { name: p.name.clone(), var: p.var().clone(), decay: p.decay, lr_scale: 1.0 }
    }
}

/// The constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global norm of a gradient; `None` leaves gradients as they are.
    pub clip_norm: Option<f64>,
}

impl Default for AdamWConfig {
    /// PyTorch's defaults, clipping at 1.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, clip_norm: Some(1.0) }
    }
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// False when the norm was not finite and nothing was changed.
    pub applied: bool,
}

/// A slot with its moments.
#[derive(Debug)]
struct Moments {
    slot: Slot,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// The weights in f32, where the variable itself is not f32 on the CPU.
    master: Option<Vec<f32>>,
}

/// The optimiser and its state.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Moments>,
    steps: u64,
}

impl AdamW {
    /// An optimiser of `slots` with zero moments.
    ///
    /// # Errors
    /// Those of the tensor library when a master copy is made.
    pub fn new(slots: Vec<Slot>, config: AdamWConfig) -> Result<Self> {
        let moments = |slot: Slot| -> Result<Moments> {
            let n = slot.var.elem_count();
            let in_place = slot.var.dtype() == DType::F32 && slot.var.device().is_cpu();
            let master = if in_place { None } else { Some(host(&slot.var)?) };
            Ok(Moments { slot, mean: vec![0.0; n], square: vec![0.0; n], master })
        };
        Ok(Self { config, slots: slots.into_iter().map(moments).collect::<Result<_>>()?, steps: 0 })
    }

    /// Updates applied so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Global L2 norm of all gradients, summed in f64 in an order that no thread count changes.
    ///
    /// # Errors
    /// [`Error::NoGradient`] or [`Error::Size`], naming the variable.
    pub fn grad_norm(&self, grads: &impl Gradients) -> Result<f64> {
        let mut squares = 0.0;
        for Moments { slot, mean, .. } in &self.slots {
            let mut size = 0;
            let found = grads.read(slot.var.as_tensor(), &mut |grad| {
                size = grad.len();
                squares += kernel::sum_of_squares(grad);
            });
            if !found {
                return Err(Error::NoGradient { name: slot.name.clone() });
            }
            if size != mean.len() {
                return Err(Error::Size { name: slot.name.clone(), expected: mean.len(), found: size });
            }
        }
        Ok(squares.sqrt())
    }

    /// One update at learning rate `lr`, or none at all where the gradient is not finite.
    ///
    /// # Errors
    /// As [`AdamW::grad_norm`], before anything is changed; or those of the tensor library.
    pub fn step(&mut self, lr: f64, grads: &impl Gradients) -> Result<Update> {
        let grad_norm = self.grad_norm(grads)?;
        if !grad_norm.is_finite() {
            return Ok(Update { grad_norm, applied: false });
        }
        self.steps += 1;
        let clip = self.config.clip_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        for moments in &mut self.slots {
            let lr = lr * moments.slot.lr_scale;
            let decay = if moments.slot.decay { lr * self.config.weight_decay } else { 0.0 };
            let step = Step::new(&self.config, self.steps, lr, decay, clip);
            let var = moments.slot.var.clone();
            let mut result = Ok(());
            grads.read(var.as_tensor(), &mut |grad| result = moments.apply(&step, grad));
            result?;
        }
        Ok(Update { grad_norm, applied: true })
    }
}

impl Moments {
    fn apply(&mut self, step: &Step, grad: &[f32]) -> Result<()> {
        let var = &self.slot.var;
        let Some(master) = &mut self.master else {
            return kernel::in_place(step, var, &mut self.mean, &mut self.square, grad);
        };
        step.run(master, &mut self.mean, &mut self.square, grad);
        let updated = Tensor::from_slice(master, var.shape(), var.device())?.to_dtype(var.dtype())?;
        Ok(var.set(&updated)?)
    }
}

/// The values of a variable in f32.
fn host(var: &Var) -> Result<Vec<f32>> {
    Ok(var.as_detached_tensor().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
