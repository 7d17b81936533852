//! What an objective reads, out of what the model scored.

use crate::Result;
use crate::micro::Micro;
use crate::update::{Seen, Updater};
use candle_core::Tensor;
use foveate_objectives::{Batch, Branch, Signal};
use foveate_vision::models::{TokenLogprobs, VisionLanguageModel};
use std::collections::BTreeMap;

/// A model and what it scored.
type Scored<'a> = (&'a VisionLanguageModel, TokenLogprobs);

impl Updater<'_> {
    /// What the objective reads of `seen`, and of the reference where it reads that.
    pub(crate) fn batch(&self, micro: &Micro, seen: &Seen, needs: &[Signal]) -> Result<Batch> {
        let reads = needs.iter().any(|s| matches!(s, Signal::Reference | Signal::ReferenceDivergence));
        let reference = match self.reference.filter(|_| reads) {
            Some(model) => Some((model, model.token_logprobs(&micro.pack, self.temperature, None)?)),
            None => None,
        };
        let mut signals = BTreeMap::new();
        for signal in needs {
            let value_n = match signal {
                Signal::Entropy => Some(seen.clean.entropy_n.clone()),
                Signal::Sampled => Some(micro.sampled(seen.clean.logp_n.device())?),
                Signal::Reference | Signal::ReferenceDivergence => {
                    self.of_reference(signal, seen, reference.as_ref())?
                }
                _ => Some(self.of_view(signal, micro, seen)?),
            };
            signals.extend(value_n.map(|value_n| (signal.clone(), value_n)));
        }
        Ok(Batch {
            advantage_n: micro.advantage(seen.clean.logp_n.device())?,
            logp_n: seen.clean.logp_n.clone(),
            old_n: micro.old_n.clone(),
            sequences: micro.sequences.clone(),
            signals,
        })
    }

    /// `None` where there is no reference: the objective names what it misses.
    fn of_reference(
        &self,
        signal: &Signal,
        seen: &Seen,
        reference: Option<&Scored<'_>>,
    ) -> Result<Option<Tensor>> {
        let Some((model, scored)) = reference else { return Ok(None) };
        match signal {
            Signal::ReferenceDivergence => self.divergence(seen, (model, scored), [true, false]).map(Some),
            _ => Ok(Some(scored.logp_n.detach())),
        }
    }

    fn of_view(&self, signal: &Signal, micro: &Micro, seen: &Seen) -> Result<Tensor> {
        let name = signal.view().map(|name| self.name(name)).unwrap_or_default();
        if let (Signal::OldView(_), Some(old_n)) = (signal, micro.old_views.get(&name)) {
            return Ok(old_n.clone());
        }
        let Some(scored) = seen.views.get(&name) else {
            // No answer of this micro-batch is asked about the view.
            return Ok(seen.clean.logp_n.zeros_like()?.detach());
        };
        match signal {
            Signal::ViewEntropy(_) => Ok(scored.entropy_n.clone()),
            Signal::ViewDivergence(_, branch) => {
                let learns = [*branch != Branch::View, *branch != Branch::Clean];
                self.divergence(seen, (self.model, scored), learns)
            }
            // On-policy the old weights are the current ones.
            Signal::OldView(_) => Ok(scored.logp_n.detach()),
            _ => Ok(scored.logp_n.clone()),
        }
    }

    fn divergence(
        &self,
        seen: &Seen,
        other: (&VisionLanguageModel, &TokenLogprobs),
        learns: [bool; 2],
    ) -> Result<Tensor> {
        Ok(self.model.token_divergences(&seen.clean, other, learns, self.temperature, Some(self.sink))?)
    }
}
