//! Gradients of all ranks become one, in buckets, while the backward pass still runs.
//!
//! The sink tells which gradient no later operation adds to. A bucket goes out when it and all before it
//! are whole, so all ranks send the same ones in the same order, whatever their graphs look like. What
//! the sink cannot tell of goes out when the pass is over.
//!
//! Sharded weights' gradients (`zero = 2`) are summed after every micro-batch, so that no rank ever holds
//! more of the sum than its part; else once, with the last one.

use super::{Layout, all};
use crate::optim::{Gradients, Slot};
use crate::recipe::RanksRecipe;
use crate::{Error, Result};
use candle_core::{Tensor, TensorId};
use foveate_ranks::Collective;
use foveate_vision::nn::{GradSink, Gradient};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sums the gradients of an update over ranks.
#[derive(Debug)]
pub struct Reducer {
    pub(super) ranks: Arc<dyn Collective>,
    /// 0: everyone has all moments; 1: each the moments of its part; 2: and the gradients of its part.
    pub(super) zero: u8,
    pub(super) slots: Vec<Slot>,
    pub(super) layout: Layout,
    by_id: HashMap<TensorId, usize>,
    state: Mutex<State>,
}

/// Of the update that is being made.
#[derive(Debug, Default)]
struct State {
    /// Sums over ranks of whole buckets, or of this rank's part of each.
    sums: Vec<Vec<f32>>,
    /// Passes that are summed, and how many there will be.
    passes: usize,
    expected: usize,
    micros: usize,
    /// Buckets that went out in this pass before it was over, and in all.
    early: f64,
    sent: f64,
    /// In how many passes each variable had a gradient.
    present: Vec<f64>,
}

impl Reducer {
    /// A reducer of the gradients of `slots`; `None` for a process alone, which has nothing to sum.
    pub fn new(ranks: &Arc<dyn Collective>, recipe: &RanksRecipe, slots: &[Slot]) -> Option<Self> {
        if ranks.size() == 1 {
            return None;
        }
        let sizes = slots.iter().map(|slot| slot.var.elem_count()).collect();
        let layout = Layout::new(sizes, recipe.bucket_mb << 18, ranks.size());
        let by_id = slots.iter().enumerate().map(|(i, slot)| (slot.var.as_tensor().id(), i)).collect();
        let (ranks, slots, state) = (ranks.clone(), slots.to_vec(), Mutex::default());
        Some(Self { ranks, zero: recipe.zero, slots, layout, by_id, state })
    }

    /// The ranks.
    pub fn ranks(&self) -> &dyn Collective {
        self.ranks.as_ref()
    }

    /// The parts of variables whose moments this rank holds.
    pub fn parts(&self) -> Vec<(usize, Range<usize>)> {
        match self.zero {
            0 => self.layout.whole(),
            _ => self.layout.owned(self.ranks.rank()),
        }
    }

    /// Begins an update of which this rank makes `micros` micro-batches.
    ///
    /// # Errors
    /// A lost rank.
    pub fn begin(&self, micros: usize) -> Result<()> {
        let most = all(self.ranks(), micros)?.into_iter().max().unwrap_or_default();
        let expected = if self.zero == 2 { most.max(1) } else { 1 };
        let present = vec![0.0; self.slots.len()];
        *self.state() = State { expected, micros, present, ..State::default() };
        Ok(())
    }

    /// The pass that ends with micro-batch `micro`, if one does, begun before its forward pass. Buckets go
    /// out during its backward pass if that is a `single` one.
    pub fn pass<'a>(&'a self, sink: &'a GradSink, micro: usize, single: bool) -> Option<Pass<'a>> {
        let due = self.zero == 2 || micro + 1 == self.state().micros;
        due.then(|| {
            let news = single.then(|| {
                let (told, news) = channel();
                sink.watch(told);
                news
            });
            Pass { reducer: self, sink, news }
        })
    }

    /// Makes the passes that this rank has no micro-batch for. Whether the gradients of all ranks, each
    /// `finite` or not, can be applied.
    ///
    /// # Errors
    /// A lost rank, or [`Error::NoGradient`] for a variable that no rank has a gradient of.
    pub fn finish(&self, sink: &GradSink, finite: bool) -> Result<bool> {
        let open = || {
            let state = self.state();
            state.passes < state.expected
        };
        while open() {
            Pass { reducer: self, sink, news: None }.during(|| Ok(()))?;
        }
        let mut counts = self.state().present.clone();
        counts.push(if finite { 0.0 } else { 1.0 });
        self.ranks.all_reduce_f64(&mut counts)?;
        if counts.pop() != Some(0.0) {
            return Ok(false);
        }
        match counts.iter().position(|&count| count == 0.0) {
            Some(slot) => Err(Error::NoGradient { name: self.slots[slot].name.clone() }),
            None => Ok(true),
        }
    }

    /// The share of buckets that went out before their backward pass was over.
    pub fn overlapped(&self) -> f64 {
        let state = self.state();
        state.early / state.sent.max(1.0)
    }

    /// Sends the buckets of a pass out, from the first on, as soon as they are whole.
    fn send_early(&self, sink: &GradSink, news: &Receiver<TensorId>) -> Result<Sent> {
        let (mut sent, mut whole) = (Sent::default(), vec![false; self.slots.len()]);
        for id in news {
            self.by_id.get(&id).into_iter().for_each(|&slot| whole[slot] = true);
            let ready = |next: usize| {
                let bucket = self.layout.buckets.get(next);
                bucket.is_some_and(|bucket| bucket.pieces.iter().all(|piece| whole[piece.slot]))
            };
            while ready(sent.buckets) {
                self.send(sink, &mut sent)?;
            }
        }
        Ok(sent)
    }

    /// Sends out the next bucket.
    fn send(&self, sink: &GradSink, sent: &mut Sent) -> Result<()> {
        let index = sent.buckets;
        let bucket = &self.layout.buckets[index];
        let mut values = vec![0.0; bucket.len];
        for piece in &bucket.pieces {
            let var = self.slots[piece.slot].var.as_tensor();
            if piece.values.start == 0 {
                sent.open = sink.take(var).map(|gradient| (piece.slot, gradient));
                self.state().present[piece.slot] += f64::from(u8::from(sent.open.is_some()));
            }
            let Some((_, gradient)) = sent.open.as_ref().filter(|(slot, _)| *slot == piece.slot) else {
                continue;
            };
            let Some(from) = gradient.get(piece.values.clone()) else {
                let (name, expected) = (self.slots[piece.slot].name.clone(), self.layout.sizes[piece.slot]);
                return Err(Error::Size { name, expected, found: gradient.len() });
            };
            values[piece.at..piece.at + from.len()].copy_from_slice(from);
        }
        self.ranks.reduce_scatter(&mut values, &bucket.parts)?;
        let sum = match self.zero {
            0 => {
                self.ranks.all_gather(&mut values, &bucket.parts)?;
                values
            }
            _ => values[bucket.parts[self.ranks.rank()].clone()].to_vec(),
        };
        sent.buckets += 1;
        let mut state = self.state();
        match state.sums.get_mut(index) {
            Some(before) => before.iter_mut().zip(&sum).for_each(|(before, more)| *before += more),
            None => state.sums.push(sum),
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The buckets of a pass that are out, and the variable that the next one goes on with.
#[derive(Default)]
struct Sent {
    buckets: usize,
    open: Option<(usize, Gradient)>,
}

/// A backward pass whose gradients are summed.
#[derive(Debug)]
pub struct Pass<'a> {
    reducer: &'a Reducer,
    sink: &'a GradSink,
    /// Of gradients that are whole; none where no forward pass was counted.
    news: Option<Receiver<TensorId>>,
}

impl Pass<'_> {
    /// Runs `backward`, and sums what the sink holds while it runs and when it is done.
    ///
    /// # Errors
    /// Those of `backward`; a lost rank.
    pub fn during(mut self, backward: impl FnOnce() -> Result<()>) -> Result<()> {
        let (reducer, sink) = (self.reducer, self.sink);
        let news = self.news.take();
        let mut sent = std::thread::scope(|scope| {
            let early = news.map(|news| scope.spawn(move || reducer.send_early(sink, &news)));
            let done = backward();
            sink.unwatch();
            let sent = early.map_or(Ok(Sent::default()), |early| match early.join() {
                Ok(sent) => sent,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            done.and(sent)
        })?;
        let early = sent.buckets;
        while sent.buckets < reducer.layout.buckets.len() {
            reducer.send(sink, &mut sent)?;
        }
        for slot in &reducer.slots {
            // Something added to a gradient after the sink had said that it was whole.
            if sink.take(slot.var.as_tensor()).is_some() {
                return Err(Error::LateGradient { name: slot.name.clone() });
            }
        }
        let mut state = reducer.state();
        state.passes += 1;
        state.early += early as f64;
        state.sent += sent.buckets as f64;
        Ok(())
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.sink.unwatch();
    }
}

impl Gradients for Reducer {
    fn read(&self, var: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool {
        let size = var.elem_count();
        self.read_part(var, &(0..size), read)
    }

    /// Parts are those of the layout, each within one bucket; of a longer one a copy is read.
    fn read_part(&self, var: &Tensor, part: &Range<usize>, read: &mut dyn FnMut(&[f32])) -> bool {
        let Some(&slot) = self.by_id.get(&var.id()) else { return false };
        let state = self.state();
        let mut found: Vec<&[f32]> = vec![];
        for (bucket, sum) in self.layout.buckets.iter().zip(&state.sums) {
            let held = if self.zero == 0 { 0..bucket.len } else { bucket.parts[self.ranks.rank()].clone() };
            for piece in bucket.within(&held).filter(|piece| piece.slot == slot) {
                let (start, end) = (piece.values.start.max(part.start), piece.values.end.min(part.end));
                if start < end {
                    let at = piece.at - held.start + start - piece.values.start;
                    found.push(&sum[at..at + end - start]);
                }
            }
        }
        match found[..] {
            [] => return false,
            [one] => read(one),
            _ => read(&found.concat()),
        }
        true
    }
}
