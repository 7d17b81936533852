//! AdamW with f32 masters, decoupled weight decay and clipping by the global norm.
//!
//! Decides how a gradient becomes a change of weights. It refuses a trainable variable without a
//! gradient: with candle that is how a graph that was cut somewhere shows itself. It knows no model and
//! no loss; gradients come through [`Gradients`]. It may hold the state of parts of variables only: the
//! rest is other ranks'.

mod kernel;
mod schedule;
mod state;

pub use schedule::{Schedule, ScheduleKind};
pub(crate) use state::Complete;

use crate::{Error, Result};
use candle_core::{DType, Tensor, Var};
use foveate_vision::models::Parameter;
use foveate_vision::nn::GradSink;
use kernel::Step;
pub(crate) use kernel::{CHUNK, chunk_squares};
use std::ops::Range;

/// Where gradients are read from.
pub trait Gradients {
    /// Lets `read` see the gradient of `var`, flat in f32; false if there is none.
    fn read(&self, var: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool;

    /// Lets `read` see a part of it; all of it where it is shorter than that.
    fn read_part(&self, var: &Tensor, part: &Range<usize>, read: &mut dyn FnMut(&[f32])) -> bool {
        self.read(var, &mut |grad| read(grad.get(part.clone()).unwrap_or(grad)))
    }
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

/// A part of a variable with its moments.
#[derive(Debug)]
struct Moments {
    slot: usize,
    part: Range<usize>,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// The weights in f32, where the variable itself is not f32 on the CPU.
    master: Option<Vec<f32>>,
}

/// The optimiser and its state.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    moments: Vec<Moments>,
    steps: u64,
}

impl AdamW {
    /// An optimiser of `slots` with zero moments.
    ///
    /// # Errors
    /// Those of the tensor library when a master copy is made.
    pub fn new(slots: Vec<Slot>, config: AdamWConfig) -> Result<Self> {
        let whole = slots.iter().enumerate().map(|(i, slot)| (i, 0..slot.var.elem_count()));
        let parts = whole.collect();
        Self::of_parts(slots, parts, config)
    }

    /// An optimiser of `parts` of `slots` (by index), which changes nothing else of them.
    ///
    /// # Errors
    /// As [`AdamW::new`].
    pub fn of_parts(
        slots: Vec<Slot>,
        parts: Vec<(usize, Range<usize>)>,
        config: AdamWConfig,
    ) -> Result<Self> {
        let moments = |(slot, part): (usize, Range<usize>)| -> Result<Moments> {
            let var = &slots[slot].var;
            let master = if in_place(var) { None } else { Some(host(var, &part)?) };
            Ok(Moments { slot, mean: vec![0.0; part.len()], square: vec![0.0; part.len()], part, master })
        };
        let moments = parts.into_iter().map(moments).collect::<Result<_>>()?;
        Ok(Self { config, slots, moments, steps: 0 })
    }

    /// What is optimised, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
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
        for Moments { slot, mean, .. } in &self.moments {
            let (slot, mut size) = (&self.slots[*slot], 0);
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
        self.step_of_norm(lr, grads, grad_norm)
    }

    /// [`AdamW::step`] where the norm of all ranks' gradients is known.
    pub(crate) fn step_of_norm(&mut self, lr: f64, grads: &impl Gradients, grad_norm: f64) -> Result<Update> {
        if !grad_norm.is_finite() {
            return Ok(Update { grad_norm, applied: false });
        }
        self.steps += 1;
        let clip = self.config.clip_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        for moments in &mut self.moments {
            let Slot { var, decay, lr_scale, .. } = &self.slots[moments.slot];
            let lr = lr * lr_scale;
            let decay = if *decay { lr * self.config.weight_decay } else { 0.0 };
            let step = Step::new(&self.config, self.steps, lr, decay, clip);
            let (part, mut result) = (moments.part.clone(), Ok(()));
            grads.read_part(var.as_tensor(), &part, &mut |grad| result = moments.apply(&step, var, grad));
            result?;
        }
        Ok(Update { grad_norm, applied: true })
    }
}

impl Moments {
    fn apply(&mut self, step: &Step, var: &Var, grad: &[f32]) -> Result<()> {
        let Some(master) = &mut self.master else {
            let moments = (&mut self.mean[..], &mut self.square[..]);
            return kernel::in_place(step, (var, &self.part), moments, grad);
        };
        step.run(master, &mut self.mean, &mut self.square, grad);
        write_part(var, self.part.start, master)
    }
}

/// Whether a variable is updated where it lies; any other has a master copy.
fn in_place(var: &Var) -> bool {
    var.dtype() == DType::F32 && var.device().is_cpu()
}

/// The values of a part of a variable in f32.
pub(crate) fn host(var: &Var, part: &Range<usize>) -> Result<Vec<f32>> {
    let flat = var.as_detached_tensor().flatten_all()?.narrow(0, part.start, part.len())?;
    Ok(flat.to_dtype(DType::F32)?.to_vec1()?)
}

/// Gives the values of a variable from the flat index `start` on.
pub(crate) fn write_part(var: &Var, start: usize, values: &[f32]) -> Result<()> {
    let values = Tensor::from_slice(values, values.len(), var.device())?.to_dtype(var.dtype())?;
    // Of a contiguous tensor this is the variable's own memory under another shape.
    Ok(var.as_detached_tensor().flatten_all()?.slice_set(&values, 0, start)?)
}
