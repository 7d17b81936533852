//! Questions put to the policy, in one turn or several: what rollouts and evaluations have in common.

use crate::Result;
use crate::data::{self, Question, Source};
use crate::engine::{Call, Engine};
use crate::policy::LocalPolicy;
use crate::turns::{Episode, Turns};
use foveate_datasets::Sample;
use foveate_vision::generate::Sampling;
use foveate_vision::processor::Prompt;
use image::RgbImage;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A question, as the model read it first, and what was said to it.
pub type Answered = (Sample, Arc<Prompt>, Vec<Episode>);

/// Who is asked what, and how.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The model as it is trained.
    pub policy: &'a LocalPolicy,
    /// Who samples its answers; one of several turns is always sampled here.
    pub engine: &'a dyn Engine,
    /// The questions.
    pub source: &'a Source,
    /// The rules of answers of several turns.
    pub turns: Option<&'a Turns>,
    /// How tokens are drawn.
    pub sampling: &'a Sampling,
    /// Set where nobody waits for the answers any more.
    pub stop: &'a AtomicBool,
}

impl Asker<'_> {
    /// Asks the questions at `indices` `n` times each; `seeds` has one seed a question. Images are changed
    /// first (a corruption).
    ///
    /// # Errors
    /// Broken data, or those of the model.
    pub fn ask(
        &self,
        indices: &[usize],
        (n, seeds): (usize, &[u64]),
        change: impl Fn(&RgbImage, usize) -> RgbImage + Sync,
    ) -> Result<Vec<Answered>> {
        if let Some(turns) = self.turns {
            let opened = turns.open(self.policy, self.source, indices, change)?;
            let all = turns.answer(self.policy, &opened, (n, seeds), self.sampling)?;
            let answered = opened.into_iter().zip(all);
            return Ok(answered.map(|(opened, all)| (opened.sample, opened.prompt, all)).collect());
        }
        let asked = data::questions(&self.policy.processor, self.source, indices, change)?;
        let Self { source, sampling, stop, .. } = *self;
        let call = Call { source, indices, n, seeds, sampling, stop };
        let answers = self.engine.generate(self.policy, &asked, call)?;
        let single = |said| Episode::single(said, |ids| self.policy.text(ids));
        let one = |(Question { sample, prompt, .. }, all): (Question, Vec<_>)| {
            Ok((sample, prompt, all.into_iter().map(single).collect::<Result<_>>()?))
        };
        asked.into_iter().zip(answers).map(one).collect()
    }
}
