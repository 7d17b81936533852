//! What a run measures of itself between steps: evaluations, the best of them, and signs of hacking.

use crate::checkpoint::Best;
use crate::hacking::Policy;
use crate::log::Metrics;
use crate::observer::Observer;
use crate::trainer::Trainer;
use crate::{Error, Result};
use std::time::Instant;

impl Trainer {
    pub(crate) fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<Metrics> {
        let clock = Instant::now();
        let mut metrics = Metrics::default();
        for evaluation in &self.evaluations {
            let turns = self.turns.as_ref();
            let when = (self.progress.step, self.ranks.as_ref());
            let (measured, lines) = evaluation.run(&self.policy, turns, when, observer)?;
            metrics.extend(measured);
            self.logs.answers.append(&lines)?;
        }
        if !self.evaluations.is_empty() {
            metrics.put("time/eval_s", clock.elapsed().as_secs_f64());
        }
        Ok(metrics)
    }

    /// Whether this evaluation is the best so far.
    pub(crate) fn improve(&mut self, metrics: &Metrics) -> bool {
        let first = self.recipe.eval.first().map(|eval| format!("eval/{}/clean/accuracy", eval.task));
        let Some(name) = self.recipe.train.best.clone().or(first) else { return false };
        let Some(value) = metrics.get(&name).filter(|value| value.is_finite()) else { return false };
        let better = self.progress.best.is_none_or(|best| value > best.value);
        if better {
            self.progress.best = Some(Best { step: self.progress.step, value });
        }
        better
    }

    /// Looks for the signs of hacking, and says what the recipe wants said.
    pub(crate) fn watch_step(&mut self, metrics: &mut Metrics, observer: &mut dyn Observer) -> Result<()> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let signs = watch.step(metrics);
        let (step, policy) = (self.progress.step, self.recipe.train.hacking);
        match (policy, signs.count()) {
            (Policy::Stop, 3..) => Err(Error::Hacking { step, signs: signs.describe() }),
            (Policy::Warn | Policy::Stop, 2..) => {
                observer.note(&format!("step {step}: {}", signs.describe()));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
