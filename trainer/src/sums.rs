//! What the metrics say of an update: sums over the passes of its mini-batch.

use crate::Result;
use crate::log::Metrics;
use crate::micro::Micro;
use crate::update::{Seen, Wanted};
use candle_core::Tensor;
use foveate_objectives::{Batch, Diagnostics, Loss, Spread};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums over the tokens of a mini-batch.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    loss: f64,
    parts: Metrics,
    spreads: Vec<(String, Spread)>,
    diagnostics: Diagnostics,
    entropy: f64,
    /// Of views, with the number of their tokens.
    entropies: BTreeMap<String, (f64, f64)>,
    gap: f64,
    compared: f64,
}

impl Sums {
    /// Adds the loss of one pass.
    pub(crate) fn add(&mut self, loss: &Loss, of: &Diagnostics) -> Result<()> {
        self.loss += crate::update::scalar(&loss.total)?;
        loss.parts.iter().for_each(|(name, value)| self.parts.add(&format!("loss/{name}"), *value));
        loss.raw.iter().for_each(|(name, value)| self.parts.add(&raw_name(name), *value));
        loss.spreads.iter().for_each(|(name, spread)| self.spread(name, spread));
        self.diagnostics = self.diagnostics.plus(of);
        Ok(())
    }

    fn spread(&mut self, name: &str, spread: &Spread) {
        match self.spreads.iter_mut().find(|(other, _)| other == name) {
            Some((_, sum)) => *sum = sum.plus(spread),
            None => self.spreads.push((name.to_string(), *spread)),
        }
    }

    /// The sums of `self` and of another rank together.
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.loss += other.loss;
        other.parts.iter().for_each(|(name, value)| self.parts.add(name, value));
        other.spreads.iter().for_each(|(name, spread)| self.spread(name, spread));
        self.diagnostics = self.diagnostics.plus(&other.diagnostics);
        self.entropy += other.entropy;
        for (name, (entropy, tokens)) in other.entropies {
            let sums = self.entropies.entry(name).or_default();
            *sums = (sums.0 + entropy, sums.1 + tokens);
        }
        (self.gap, self.compared) = (self.gap + other.gap, self.compared + other.compared);
        self
    }

    /// Adds what one pass saw.
    pub(crate) fn see(
        &mut self,
        micro: &Micro,
        batch: &Batch,
        seen: &Seen,
        views: &[(String, Wanted)],
    ) -> Result<()> {
        self.entropy += sum(&seen.clean.entropy_n, batch.sequences.counted())?.0;
        for (name, wanted) in views {
            let Some(scored) = seen.views.get(name) else { continue };
            let (entropy, tokens) = sum(&scored.entropy_n, &wanted.scope.mask(&batch.sequences))?;
            let sums = self.entropies.entry(name.clone()).or_default();
            *sums = (sums.0 + entropy, sums.1 + tokens);
        }
        self.compare(micro, batch)
    }

    /// Only on-policy do sampler and trainer have the same weights.
    fn compare(&mut self, micro: &Micro, batch: &Batch) -> Result<()> {
        if batch.old_n.is_none() {
            let logp_n = batch.logp_n.detach().to_vec1::<f32>()?;
            for (ours, theirs) in logp_n.iter().zip(&micro.sampled_n).filter(|(_, s)| !s.is_nan()) {
                self.gap += f64::from((ours - theirs).abs());
                self.compared += 1.0;
            }
        }
        Ok(())
    }

    pub(crate) fn metrics(self) -> Metrics {
        let (d, mut metrics) = (self.diagnostics, Metrics::default());
        let tokens = d.tokens.max(1.0);
        metrics.put("loss/total", self.loss);
        metrics.extend(self.parts);
        for (name, spread) in &self.spreads {
            let name = raw_name(name);
            metrics.put(format!("{name}/mean"), spread.mean());
            metrics.put(format!("{name}/variance"), spread.variance());
            metrics.put(format!("{name}/max"), spread.max);
            metrics.put(format!("{name}/saturated"), spread.saturated / spread.tokens.max(1.0));
            metrics.put(format!("{name}/tokens"), spread.tokens);
        }
        metrics.put("entropy", self.entropy / tokens);
        for (name, (entropy, tokens)) in self.entropies {
            metrics.put(format!("entropy/{name}"), entropy / tokens.max(1.0));
        }
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

/// The sum and number of the values that count.
fn sum(value_n: &Tensor, mask_n: &[bool]) -> Result<(f64, f64)> {
    let value_n = value_n.detach().to_vec1::<f32>()?;
    let counted = || value_n.iter().zip(mask_n).filter(|(_, counts)| **counts);
    Ok((counted().map(|(&value, _)| f64::from(value)).sum(), counted().count() as f64))
}

/// What a term's value before its weight is called.
fn raw_name(term: &str) -> String {
    match term {
        "reference-kl" => "kl/reference".into(),
        other => format!("term/{other}"),
    }
}
