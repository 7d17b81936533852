//! The gradient of an objective with views, with one graph in memory at a time.
//!
//! The objective is a function of `[N]` numbers. Its gradient in these is taken first, on numbers that
//! came without a graph; then the clean images and each view run with one, and only those answers of a
//! view, up to the last token, in which the objective has a gradient: views that win no token cost a
//! forward pass. By the chain rule it is the gradient of [`crate::update`]'s whole pass.

use crate::micro::{Keep, Micro};
use crate::sums::Sums;
use crate::update::{Seen, Updater, scalar};
use crate::{Error, Result};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use foveate_objectives::{Batch, Signal, Totals};
use foveate_vision::models::TokenLogprobs;
use std::collections::BTreeMap;

/// A tensor with a graph, and the variable that stands for it in the objective.
struct Leaf {
    traced_n: Tensor,
    var: Var,
}

impl Leaf {
    fn new(traced_n: &Tensor) -> Result<Self> {
        Ok(Self { var: Var::from_tensor(&traced_n.detach())?, traced_n: traced_n.clone() })
    }

    /// `Σ gradient · value`, whose gradient in the weights is the objective's.
    fn pull(&self, grads: &GradStore) -> Result<Option<Tensor>> {
        let Some(grad_n) = grads.get(self.var.as_tensor()) else { return Ok(None) };
        Ok(Some((&self.traced_n * grad_n.detach())?.sum_all()?))
    }
}

impl Updater<'_> {
    pub(crate) fn lean(&self, micro: &Micro, totals: &Totals, sums: &mut Sums) -> Result<bool> {
        let (needs, tracks) = (self.objective.needs(), self.objective.tracks());
        let wanted = self.wanted_now(micro, &needs, &tracks);
        let clean = self.see(micro, &[], Some(self.sink))?.clean;
        let parts = self.parts(micro, false, &wanted, None)?;
        let views = wanted.iter().map(|(name, _)| name.clone()).zip(parts).collect();
        let mut seen = Seen { clean, views };
        let traced = self.batch(micro, &seen, &needs)?;
        // Signals of the clean images with a graph; those of views are variables of their own.
        let mut leaves = vec![Leaf::new(&traced.logp_n)?];
        let mut signals = BTreeMap::new();
        for (signal, value_n) in &traced.signals {
            let of_view = matches!(signal, Signal::View(_) | Signal::ViewEntropy(_));
            let leaf = Leaf::new(value_n)?;
            signals.insert(signal.clone(), leaf.var.as_tensor().clone());
            if !of_view && tracks.contains(signal) {
                leaves.push(leaf);
            }
        }
        let batch = Batch { logp_n: leaves[0].var.as_tensor().clone(), signals, ..traced };
        let loss = self.objective.loss(&batch, totals)?;
        let value = scalar(&loss.total)?;
        sums.add(&loss, &self.objective.diagnostics(&batch)?)?;
        sums.see(micro, &batch, &seen, &wanted)?;
        if !value.is_finite() {
            return Ok(false);
        }
        let grads = loss.total.backward()?;
        let mut pulled: Option<Tensor> = None;
        for leaf in leaves {
            if let Some(more) = leaf.pull(&grads)? {
                pulled = Some(match pulled {
                    Some(sum) => (sum + more)?,
                    None => more,
                });
            }
        }
        seen.views.clear();
        if let Some(pulled) = pulled {
            self.model.backward(&pulled, self.sink)?;
        }
        drop(seen);
        for (name, _) in wanted.iter().filter(|(_, wanted)| wanted.tracked) {
            self.lean_view(micro, name, &batch, &grads)?;
        }
        Ok(true)
    }

    /// Back-propagates through one view what the objective asks of it.
    fn lean_view(&self, micro: &Micro, name: &str, batch: &Batch, grads: &GradStore) -> Result<()> {
        let (mut d_logp_n, mut d_entropy_n) = (None, None);
        for (signal, value_n) in &batch.signals {
            if signal.view().is_none_or(|view| self.name(view) != name) {
                continue;
            }
            let Some(grad_n) = grads.get(value_n).map(Tensor::detach) else { continue };
            let sum = match signal {
                Signal::View(_) => &mut d_logp_n,
                Signal::ViewEntropy(_) => &mut d_entropy_n,
                _ => continue,
            };
            *sum = Some(match sum.take() {
                Some(before) => (before + grad_n)?,
                None => grad_n,
            });
        }
        let keep = kept(micro, [&d_logp_n, &d_entropy_n])?;
        let Some(row) = micro.row(false, &[(name, &keep)])? else { return Ok(()) };
        let scored = self.model.token_logprobs(&row.pack, self.temperature, Some(self.sink))?;
        let parts = row.parts(&scored)?;
        let Some(TokenLogprobs { logp_n, entropy_n, .. }) = parts.first() else { return Ok(()) };
        let mut pulled = logp_n.zeros_like()?.detach().sum_all()?;
        for (grad_n, value_n) in [(d_logp_n, logp_n), (d_entropy_n, entropy_n)] {
            if let Some(grad_n) = grad_n {
                pulled = (pulled + (value_n * grad_n)?.sum_all()?)?;
            }
        }
        Ok(self.model.backward(&pulled, self.sink)?)
    }
}

/// The tokens of each answer up to the last one with a gradient.
fn kept(micro: &Micro, grads: [&Option<Tensor>; 2]) -> Result<Keep> {
    let mut keep = vec![0; micro.sequences.len()];
    for grad_n in grads.into_iter().flatten() {
        let grad_n = grad_n.to_vec1::<f32>().map_err(Error::from)?;
        for (kept, range) in keep.iter_mut().zip(micro.sequences.ranges()) {
            let last = range.clone().rev().find(|&n| grad_n[n] != 0.0);
            *kept = (*kept).max(last.map_or(0, |n| n + 1 - range.start));
        }
    }
    Ok(keep)
}
