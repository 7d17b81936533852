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
    gap: Gap,
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
        self.gap.join(&other.gap);
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

    /// Under the weights that sampled, sampler and trainer should say the same.
    fn compare(&mut self, micro: &Micro, batch: &Batch) -> Result<()> {
        let old_n = batch.old_n.as_ref().unwrap_or(&batch.logp_n).detach().to_vec1::<f32>()?;
        let sampled = old_n.iter().zip(&micro.sampled_n).filter(|(_, theirs)| !theirs.is_nan());
        sampled.for_each(|(&ours, &theirs)| self.gap.add(f64::from(ours) - f64::from(theirs)));
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
        if d.weight > 0.0 {
            metrics.put("correction/weight", d.weight / tokens);
            metrics.put("correction/bounded", d.bounded / tokens);
        }
        metrics.extend(self.gap.metrics());
        metrics
    }
}

/// How far the sampler's log-probabilities are from the trainer's under the same weights.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gap {
    tokens: f64,
    absolute: f64,
    max: f64,
    ratio: f64,
    divergence: f64,
}

impl Gap {
    /// Adds a token of log-ratio `ours - theirs`.
    fn add(&mut self, gap: f64) {
        self.tokens += 1.0;
        self.absolute += gap.abs();
        self.max = self.max.max(gap.abs());
        self.ratio += gap.abs().exp();
        self.divergence += gap.exp() - gap - 1.0;
    }

    /// Adds what another rank compared.
    fn join(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.absolute += other.absolute;
        self.max = self.max.max(other.max);
        self.ratio += other.ratio;
        self.divergence += other.divergence;
    }

    /// The mean and largest difference in nats, the mean factor between the probabilities (1 where they are
    /// equal), and the k3 estimate of `KL(sampler ‖ trainer)`.
    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        if self.tokens > 0.0 {
            metrics.put("logp/sampler_gap", self.absolute / self.tokens);
            metrics.put("logp/sampler_gap/max", self.max);
            metrics.put("logp/sampler_factor", self.ratio / self.tokens);
            metrics.put("logp/sampler_kl", self.divergence / self.tokens);
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
