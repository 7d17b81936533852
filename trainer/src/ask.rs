//! Questions put to the policy, in one turn or several: what rollouts and evaluations have in common.

use crate::Result;
use crate::data::{self, Source};
use crate::policy::LocalPolicy;
use crate::turns::{Episode, Turns};
use foveate_datasets::Sample;
use foveate_vision::generate::{Request, Sampling, generate};
use foveate_vision::processor::Prompt;
use image::RgbImage;
use std::sync::Arc;

/// A question, as the model read it first, and what was said to it.
pub type Answered = (Sample, Arc<Prompt>, Vec<Episode>);

/// Who is asked what, and how.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Who answers.
    pub policy: &'a LocalPolicy,
    /// The questions.
    pub source: &'a Source,
    /// The rules of answers of several turns.
    pub turns: Option<&'a Turns>,
    /// How tokens are drawn.
    pub sampling: &'a Sampling,
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
        let asked = data::prompts(&self.policy.processor, self.source, indices, change)?;
        let request = |((_, prompt), &seed): (&(Sample, Arc<Prompt>), &u64)| {
            let prompt = prompt.clone();
            Request { prompt, n, seed }
        };
        let requests: Vec<_> = asked.iter().zip(seeds).map(request).collect();
        let answers = generate(&self.policy.model, &requests, self.sampling)?;
        let single = |said| Episode::single(said, |ids| self.policy.text(ids));
        let one = |((sample, prompt), all): ((Sample, Arc<Prompt>), Vec<_>)| {
            Ok((sample, prompt, all.into_iter().map(single).collect::<Result<_>>()?))
        };
        asked.into_iter().zip(answers).map(one).collect()
    }
}
