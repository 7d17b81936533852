//! From packs with credits to changed weights: forward, objective, backward, optimiser.
//!
//! The same function serves reinforcement learning and the supervised warm-up (which is REINFORCE with
//! credit 1 on given answers). Denominators are those of the whole mini-batch.

use crate::log::Metrics;
use crate::micro::Micro;
use crate::optim::{AdamW, Update};
use crate::view::PICKED;
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use foveate_objectives::{Batch, Diagnostics, Objective, Signal, Totals};
use foveate_vision::models::{TokenLogprobs, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use std::collections::BTreeMap;

/// What updates a model.
#[derive(Debug)]
pub struct Updater<'a> {
    /// The model that is trained.
    pub model: &'a VisionLanguageModel,
    /// The frozen model that a term may want.
    pub reference: Option<&'a VisionLanguageModel>,
    /// The loss.
    pub objective: &'a Objective,
    /// The temperature at which answers were sampled and are scored.
    pub temperature: f32,
    /// Where gradients are collected.
    pub sink: &'a GradSink,
    /// The view that [`PICKED`] stands for.
    pub picked: Option<&'a str>,
}

/// Sums over the tokens of a mini-batch.
#[derive(Debug, Default)]
struct Sums {
    loss: f64,
    parts: Metrics,
    diagnostics: Diagnostics,
    entropy: f64,
    gap: f64,
    compared: f64,
}

impl Updater<'_> {
    /// Scores `micros` under the current weights, so that later updates know where they came from.
    ///
    /// # Errors
    /// Those of the model.
    pub fn remember(&self, micros: &mut [Micro]) -> Result<()> {
        for micro in micros {
            let scored = self.model.token_logprobs(&micro.pack, self.temperature, None)?;
            micro.old_n = Some(scored.logp_n.detach());
            for (name, _) in self.views().into_iter().filter(|(_, old)| *old) {
                let scored = self.view(micro, &name, None)?;
                micro.old_views.insert(name, scored.logp_n.detach());
            }
        }
        Ok(())
    }

    /// The views that the objective reads, and whether it reads them under the old weights too.
    fn views(&self) -> BTreeMap<String, bool> {
        let mut views = BTreeMap::new();
        for signal in self.objective.needs() {
            let Some(name) = signal.view() else { continue };
            *views.entry(self.name(name)).or_default() |= matches!(signal, Signal::OldView(_));
        }
        views
    }

    /// What the view that a term names is really called.
    fn name(&self, view: &str) -> String {
        self.picked.filter(|_| view == PICKED).unwrap_or(view).to_string()
    }

    fn view(&self, micro: &Micro, name: &str, sink: Option<&GradSink>) -> Result<TokenLogprobs> {
        let found = micro.views.iter().find(|(view, _)| view == name);
        let (_, pack) = found.ok_or_else(|| Error::Recipe {
            place: "term".into(),
            message: format!("reads the view `{name}`, which no [[view]] makes"),
        })?;
        Ok(self.model.token_logprobs(pack, self.temperature, sink)?)
    }

    /// One update from one mini-batch. A loss that is not finite is not back-propagated, and the update
    /// then not applied.
    ///
    /// # Errors
    /// Those of model, objective and optimiser.
    pub fn update(&self, micros: &[Micro], optim: &mut AdamW, lr: f64) -> Result<(Update, Metrics)> {
        self.sink.clear();
        let totals: Totals = micros.iter().map(|m| &m.sequences).collect();
        let mut sums = Sums::default();
        let mut finite = true;
        for micro in micros {
            finite &= self.micro(micro, &totals, &mut sums)?;
            if !finite {
                break;
            }
        }
        let update = match finite {
            true => optim.step(lr, self.sink)?,
            false => Update { grad_norm: f64::NAN, applied: false },
        };
        let mut metrics = sums.metrics();
        metrics.put("grad_norm", update.grad_norm);
        metrics.put("lr", lr);
        Ok((update, metrics))
    }

    fn micro(&self, micro: &Micro, totals: &Totals, sums: &mut Sums) -> Result<bool> {
        let scored = self.model.token_logprobs(&micro.pack, self.temperature, Some(self.sink))?;
        let signals = self.signals(micro, &scored)?;
        let batch = Batch {
            advantage_n: micro.advantage(scored.logp_n.device())?,
            logp_n: scored.logp_n,
            old_n: micro.old_n.clone(),
            sequences: micro.sequences.clone(),
            signals,
        };
        let loss = self.objective.loss(&batch, totals)?;
        sums.count(micro, &batch, &self.objective.diagnostics(&batch)?, &scored.entropy_n)?;
        let value = f64::from(loss.total.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        sums.loss += value;
        loss.parts.iter().for_each(|(name, value)| sums.parts.add(&format!("loss/{name}"), *value));
        loss.raw.iter().for_each(|(name, value)| sums.parts.add(&raw_name(name), *value));
        if value.is_finite() {
            self.model.backward(&loss.total, self.sink)?;
        }
        Ok(value.is_finite())
    }

    /// What the terms read, each computed once and with a gradient only where one is wanted.
    fn signals(&self, micro: &Micro, scored: &TokenLogprobs) -> Result<BTreeMap<Signal, Tensor>> {
        let tracks = self.objective.tracks();
        let tracked: Vec<_> = tracks.iter().filter_map(|s| s.view()).map(|v| self.name(v)).collect();
        let mut views = BTreeMap::new();
        for name in self.views().into_keys() {
            let sink = tracked.contains(&name).then_some(self.sink);
            let scored = self.view(micro, &name, sink)?;
            views.insert(name, scored);
        }
        let mut signals = BTreeMap::new();
        for signal in self.objective.needs() {
            let view = signal.view().map(|name| self.name(name));
            let seen = view.as_ref().and_then(|name| views.get(name));
            let value_n = match &signal {
                Signal::Entropy => Some(scored.entropy_n.clone()),
                Signal::Reference => self.reference_logp(micro)?,
                Signal::View(_) => seen.map(|s| s.logp_n.clone()),
                Signal::ViewEntropy(_) => seen.map(|s| s.entropy_n.clone()),
                // On-policy the old weights are the current ones.
                Signal::OldView(_) => {
                    let old_n = view.and_then(|name| micro.old_views.get(&name)).cloned();
                    old_n.or_else(|| seen.map(|s| s.logp_n.detach()))
                }
            };
            signals.extend(value_n.map(|value_n| (signal, value_n)));
        }
        Ok(signals)
    }

    fn reference_logp(&self, micro: &Micro) -> Result<Option<Tensor>> {
        let Some(reference) = self.reference else { return Ok(None) };
        Ok(Some(reference.token_logprobs(&micro.pack, self.temperature, None)?.logp_n.detach()))
    }
}

impl Sums {
    fn count(&mut self, micro: &Micro, batch: &Batch, of: &Diagnostics, entropy_n: &Tensor) -> Result<()> {
        self.diagnostics = self.diagnostics.plus(of);
        self.entropy += entropy_n.detach().to_vec1::<f32>()?.iter().map(|&h| f64::from(h)).sum::<f64>();
        // Only on-policy do sampler and trainer have the same weights.
        if batch.old_n.is_none() {
            let logp_n = batch.logp_n.detach().to_vec1::<f32>()?;
            for (ours, theirs) in logp_n.iter().zip(&micro.sampled_n).filter(|(_, s)| !s.is_nan()) {
                self.gap += f64::from((ours - theirs).abs());
                self.compared += 1.0;
            }
        }
        Ok(())
    }

    fn metrics(self) -> Metrics {
        let (d, mut metrics) = (self.diagnostics, Metrics::default());
        let tokens = d.tokens.max(1.0);
        metrics.put("loss/total", self.loss);
        metrics.extend(self.parts);
        metrics.put("entropy", self.entropy / tokens);
        metrics.put("tokens/trained", d.tokens);
        metrics.put("policy/moved", d.moved / tokens);
        metrics.put("ratio/mean", d.ratio / tokens);
        metrics.put("ratio/max", d.ratio_max);
        metrics.put("clip/low", d.clipped_low / tokens);
        metrics.put("clip/high", d.clipped_high / tokens);
        metrics.put("clip/dual", d.clipped_dual / tokens);
        if self.compared > 0.0 {
            metrics.put("logp/sampler_gap", self.gap / self.compared);
        }
        metrics
    }
}

/// What a term's value before its weight is called.
fn raw_name(term: &str) -> String {
    match term {
        "reference-kl" => "kl/reference".into(),
        other => format!("term/{other}"),
    }
}
