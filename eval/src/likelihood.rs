//! Scoring without generating, as V* is scored by its authors: the option that the model finds likeliest is its answer,
//! whatever the order in which options stand.
//!
//! Decides which option that is and what record it makes. Who computes log-probabilities is a [`Likelihood`]; a model
//! directory is one.

use crate::policy::{Local, Policy, Shown, messages};
use crate::record::{Record, Verdict};
use crate::sweep::{Cell, Plan};
use crate::{Error, Result};
use foveate_datasets::grade::choice::letter;
use foveate_datasets::{ImageRef, Sample, Task};
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::pack::PackBuilder;

/// [`Record::sampling`] of such an answer.
pub const SAMPLING: &str = "likelihood of the options";

/// The token that ends an answer; its log-probability counts, as V*'s authors count it.
const CLOSING: &str = "<|im_end|>";

/// Who can say how likely an answer is.
pub trait Likelihood: Policy {
    /// The natural log-probabilities of the tokens of each option, its end included, as the answer to `prompt` about
    /// `pictures`.
    ///
    /// # Errors
    /// A prompt that does not fit its pictures, or a model that fails.
    fn option_logprobs(
        &self,
        prompt: &str,
        pictures: &[Self::Picture],
        options: &[String],
    ) -> Result<Vec<Vec<f32>>>;
}

/// The option with the greatest mean log-probability a token, the first of equals; `None` where there is none or a mean
/// is no number.
pub fn likeliest(logprobs: &[Vec<f32>]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, logp_t) in logprobs.iter().enumerate() {
        let values: Vec<f64> = logp_t.iter().copied().map(f64::from).collect();
        let mean = crate::stats::mean(&values).filter(|mean| mean.is_finite())?;
        if best.is_none_or(|(_, greatest)| mean > greatest) {
            best = Some((at, mean));
        }
    }
    best.map(|(at, _)| at)
}

/// The record of one question about a clean picture: the likeliest option, and the log-probabilities in `turns`.
///
/// # Errors
/// A question without options, a picture that cannot be read, or a model that fails.
pub fn by_likelihood<L: Likelihood>(
    plan: &Plan,
    policy: &L,
    index: usize,
    sample: &Sample,
) -> Result<Record> {
    if sample.choices.is_empty() {
        return Err(Error::differs(sample.place(), "choices", "there to be compared", "empty"));
    }
    let question = Record { sampling: SAMPLING.into(), ..plan.question(policy, index, sample, &Cell::CLEAN) };
    let question = Record { key: question.digest(), ..question };
    let show = |image: &ImageRef| -> Result<Shown<L::Picture>> {
        let picture = image.decode()?;
        policy.prepare(&picture)
    };
    let shown = sample.images.iter().map(show).collect::<Result<Vec<_>>>()?;
    let size = shown.iter().map(|shown| shown.size).collect();
    let pictures: Vec<L::Picture> = shown.into_iter().map(|shown| shown.picture).collect();
    let logprobs = policy.option_logprobs(&question.prompt, &pictures, &sample.choices)?;
    let chosen = likeliest(&logprobs)
        .ok_or_else(|| Error::Work(format!("{}: an option has no finite log-probability", sample.place())))?;
    let said = letter(chosen).to_string();
    let right = is_right(plan.task, sample, &said);
    let outcome = if right { Verdict::Right } else { Verdict::Wrong };
    let means: Vec<f32> = logprobs.iter().map(|l| l.iter().sum::<f32>() / l.len().max(1) as f32).collect();
    let turns = vec![serde_json::json!({ "mean_logprob": means })];
    let (parsed, response) = (Some(said.clone()), Some(said));
    Ok(Record { outcome, score: f64::from(u8::from(right)), parsed, response, size, turns, ..question })
}

/// By the task's own grade of the letter, so that either way of scoring agrees on what is right.
fn is_right(task: &dyn Task, sample: &Sample, said: &str) -> bool {
    task.grade(sample, said).outcome == foveate_datasets::Outcome::Right
}

impl Likelihood for Local {
    fn option_logprobs(
        &self,
        prompt: &str,
        pictures: &[Self::Picture],
        options: &[String],
    ) -> Result<Vec<Vec<f32>>> {
        let model = self.model()?;
        let (messages, order) = messages(prompt, pictures.len())?;
        let pictures: Vec<_> = order.into_iter().map(|at| pictures[at].clone()).collect();
        let prompt = self.processor().prompt(&messages, &pictures)?;
        score(&model, self, &prompt, options)
    }
}

/// The prompt once, every option under it.
fn score(
    model: &VisionLanguageModel,
    local: &Local,
    prompt: &foveate_vision::processor::Prompt,
    options: &[String],
) -> Result<Vec<Vec<f32>>> {
    let tokenizer = &local.processor().tokenizer;
    let mut builder = PackBuilder::new();
    let root = builder.root(prompt)?;
    let mut sequences = Vec::with_capacity(options.len());
    for option in options {
        let ids = tokenizer.encode(&format!("{option}{CLOSING}"))?;
        sequences.push(builder.completion(root, &ids)?);
    }
    let pack = builder.build()?;
    let scored = model.token_logprobs(&pack, 1.0, None)?;
    let logp_n = scored.logp_n.to_vec1::<f32>().map_err(|e| Error::Work(e.to_string()))?;
    Ok(sequences.into_iter().map(|at| logp_n[pack.sequences[at].clone()].to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_decides_and_not_the_length() {
        // The sums would choose the second.
        assert_eq!(likeliest(&[vec![-0.5, -0.5, -0.5], vec![-1.0]]), Some(0));
        assert_eq!(likeliest(&[vec![-1.], vec![-1.]]), Some(0));
        assert_eq!(likeliest(&[vec![-2.], vec![-1.], vec![-3.]]), Some(1));
        assert_eq!(likeliest(&[vec![-1.], vec![f32::NAN]]), None);
        assert_eq!(likeliest(&[vec![]]), None);
        assert_eq!(likeliest(&[]), None);
    }
}
