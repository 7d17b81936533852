//! From packs with credits to changed weights: forward, objective, backward, optimiser.
//!
//! The same function serves reinforcement learning and the supervised warm-up (which is REINFORCE with
//! credit 1 on given answers). Denominators are those of the whole mini-batch.

use crate::log::Metrics;
use crate::micro::{Keep, Micro};
use crate::optim::{AdamW, Gradients, Update};
use crate::ranks::{self, Pass, Reducer};
use crate::sums::Sums;
use crate::view::PICKED;
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use foveate_objectives::{Branch, Objective, Scope, Signal, Totals};
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
    /// Run views without gradients first, and again with them only where a term has one.
    pub lean: bool,
    /// Sums gradients over ranks, where there are several.
    pub reducer: Option<&'a Reducer>,
}

/// What is wanted of one view.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The answers it is asked about.
    pub scope: Scope,
    /// Under the current weights.
    now: bool,
    /// Under the weights that sampled.
    old: bool,
    /// With a gradient.
    pub tracked: bool,
}

/// What the parts of a micro-batch's rows say: the clean images, and views by name.
#[derive(Debug)]
pub(crate) struct Seen {
    pub clean: TokenLogprobs,
    pub views: BTreeMap<String, TokenLogprobs>,
}

impl Updater<'_> {
    /// Scores `micros` under the current weights, so that later updates know where they came from.
    ///
    /// # Errors
    /// Those of the model.
    pub fn remember(&self, micros: &mut [Micro]) -> Result<()> {
        for micro in micros {
            let old = self.wanted(&self.objective.needs(), &[]);
            let old: Vec<_> = old.into_iter().filter(|(_, wanted)| wanted.old).collect();
            let seen = self.see(micro, &old, None)?;
            micro.old_n = Some(seen.clean.logp_n.detach());
            let views = seen.views.into_iter();
            micro.old_views = views.map(|(name, scored)| (name, scored.logp_n.detach())).collect();
        }
        Ok(())
    }

    /// What the terms in the reward take off each answer of `micros`, in order.
    ///
    /// # Errors
    /// Those of model and objective.
    pub fn penalties(&self, micros: &[Micro]) -> Result<Vec<f64>> {
        let mut penalties = Vec::new();
        for micro in micros {
            let needs = self.objective.reward_needs();
            let wanted: Vec<_> = self.wanted(&needs, &[]).into_iter().collect();
            let seen = self.see(micro, &wanted, None)?;
            let batch = self.batch(micro, &seen, &needs)?;
            penalties.extend(self.objective.penalties(&batch)?);
        }
        Ok(penalties)
    }

    /// The views that `needs` names, by their real names.
    pub(crate) fn wanted(&self, needs: &[Signal], tracks: &[Signal]) -> BTreeMap<String, Wanted> {
        let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
        for signal in needs {
            let Some(view) = signal.view() else { continue };
            let scope = self.objective.scope_of(view);
            let wanted = all.entry(self.name(view)).or_insert(Wanted {
                scope,
                now: false,
                old: false,
                tracked: false,
            });
            if wanted.scope != scope {
                wanted.scope = Scope::All;
            }
            wanted.old |= matches!(signal, Signal::OldView(_));
            wanted.now |= !matches!(signal, Signal::OldView(_));
            let through = !matches!(signal, Signal::ViewDivergence(_, Branch::Clean));
            wanted.tracked |= through && tracks.contains(signal);
        }
        all
    }

    /// What the view that a term names is really called.
    pub(crate) fn name(&self, view: &str) -> String {
        self.picked.filter(|_| view == PICKED).unwrap_or(view).to_string()
    }

    /// Scores the clean images and `views` in one row, with gradients where there is a sink.
    pub(crate) fn see(
        &self,
        micro: &Micro,
        views: &[(String, Wanted)],
        sink: Option<&GradSink>,
    ) -> Result<Seen> {
        let mut parts = self.parts(micro, true, views, sink)?.into_iter();
        let Some(clean) = parts.next() else {
            return Err(Error::Size { name: "pack".into(), expected: 1, found: 0 });
        };
        Ok(Seen { clean, views: views.iter().map(|(name, _)| name.clone()).zip(parts).collect() })
    }

    /// Scores `views`, and the clean images before them if they are wanted, in one row.
    pub(crate) fn parts(
        &self,
        micro: &Micro,
        clean: bool,
        views: &[(String, Wanted)],
        sink: Option<&GradSink>,
    ) -> Result<Vec<TokenLogprobs>> {
        if let Some((name, _)) = views.iter().find(|(name, _)| !micro.has_view(name)) {
            let message = format!("reads the view `{name}`, which no [[view]] makes");
            return Err(Error::Recipe { place: "term".into(), message });
        }
        let keeps: Vec<Keep> = views.iter().map(|(_, wanted)| micro.keep(wanted.scope)).collect();
        let asked: Vec<_> = views.iter().zip(&keeps).map(|((name, _), keep)| (name.as_str(), keep)).collect();
        match micro.row(clean, &asked)? {
            Some(row) => row.parts(&self.model.token_logprobs(&row.pack, self.temperature, sink)?),
            None => Ok(vec![]),
        }
    }

    /// Fills the sink (with several ranks: the reducer) with the gradients of one mini-batch; false where a
    /// loss was not finite, which is then not back-propagated.
    ///
    /// # Errors
    /// Those of model and objective; a lost rank.
    pub fn gradients(&self, micros: &[Micro]) -> Result<(bool, Metrics)> {
        self.sink.clear();
        let totals = self.totals(micros)?;
        self.reducer.map_or(Ok(()), |reducer| reducer.begin(micros.len()))?;
        let (mut sums, mut finite) = (Sums::default(), true);
        for (at, micro) in micros.iter().enumerate() {
            let pass = self.reducer.and_then(|reducer| reducer.pass(self.sink, at, !self.lean));
            finite &= match self.lean {
                true => self.lean(micro, &totals, &mut sums)? && run(pass, || Ok(()))?,
                false => self.whole(micro, &totals, &mut sums, pass)?,
            };
            if !finite {
                break;
            }
        }
        let Some(reducer) = self.reducer else { return Ok((finite, sums.metrics())) };
        let finite = reducer.finish(self.sink, finite)?;
        let sums = ranks::all(reducer.ranks(), sums)?.into_iter().reduce(Sums::plus);
        Ok((finite, sums.unwrap_or_default().metrics()))
    }

    /// The counts of the mini-batch, of which other ranks have their parts.
    fn totals(&self, micros: &[Micro]) -> Result<Totals> {
        let mine: Totals = micros.iter().map(|m| &m.sequences).collect();
        let Some(reducer) = self.reducer else { return Ok(mine) };
        let all = ranks::all(reducer.ranks(), mine)?;
        Ok(all.iter().fold(Totals::default(), |sum, theirs| sum.plus(theirs)))
    }

    /// One pass with the graphs of the clean images and of all views at once: they share a row.
    fn whole(&self, micro: &Micro, totals: &Totals, sums: &mut Sums, pass: Option<Pass<'_>>) -> Result<bool> {
        let (needs, tracks) = (self.objective.needs(), self.objective.tracks());
        let wanted = self.wanted_now(micro, &needs, &tracks);
        let (tracked, fixed): (Vec<_>, Vec<_>) = wanted.iter().cloned().partition(|(_, w)| w.tracked);
        let mut seen = self.see(micro, &tracked, Some(self.sink))?;
        let names = fixed.iter().map(|(name, _)| name.clone());
        seen.views.extend(names.zip(self.parts(micro, false, &fixed, None)?));
        let batch = self.batch(micro, &seen, &needs)?;
        let loss = self.objective.loss(&batch, totals)?;
        let value = scalar(&loss.total)?;
        sums.add(&loss, &self.objective.diagnostics(&batch)?)?;
        sums.see(micro, &batch, &seen, &wanted)?;
        if value.is_finite() {
            run(pass, || Ok(self.model.backward(&loss.total, self.sink)?))?;
        }
        Ok(value.is_finite())
    }

    /// The views that must be scored now: old values that are remembered need no pass.
    pub(crate) fn wanted_now(
        &self,
        micro: &Micro,
        needs: &[Signal],
        tracks: &[Signal],
    ) -> Vec<(String, Wanted)> {
        let wanted = self.wanted(needs, tracks).into_iter();
        wanted.filter(|(name, w)| w.now || !micro.old_views.contains_key(name)).collect()
    }
}

/// Runs a backward pass, whose gradients may be summed over ranks; true, as it was run.
fn run(pass: Option<Pass<'_>>, backward: impl FnOnce() -> Result<()>) -> Result<bool> {
    match pass {
        Some(pass) => pass.during(backward)?,
        None => backward()?,
    }
    Ok(true)
}

/// Applies the gradients `grads` at learning rate `lr`, or nothing where they are not `finite`; what came
/// of it is put into `metrics`.
///
/// # Errors
/// Those of the optimiser.
pub fn apply(
    finite: bool,
    optim: &mut AdamW,
    grads: &impl Gradients,
    lr: f64,
    metrics: &mut Metrics,
) -> Result<Update> {
    let update = match finite {
        true => optim.step(lr, grads)?,
        false => Update { grad_norm: f64::NAN, applied: false },
    };
    metrics.put("grad_norm", update.grad_norm);
    metrics.put("lr", lr);
    Ok(update)
}

pub(crate) fn scalar(x: &Tensor) -> Result<f64> {
    Ok(f64::from(x.to_dtype(DType::F32)?.to_scalar::<f32>()?))
}
