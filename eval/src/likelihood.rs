//! Scoring without generating, as V* is scored by its authors: the option that the model finds likeliest is its answer,
//! whatever the order in which options stand.
//!
//! Decides which option that is and what is said of it: the option's letter, which the task then grades as any other
//! answer. Who computes log-probabilities is a [`Likelihood`]; a model directory is one.

use crate::policy::{Asked, Demand, Failed, Local, Policy, Reply, Shown};
use crate::{Error, Result};
use foveate_datasets::grade::choice::letter;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::pack::PackBuilder;
use image::RgbImage;
use serde_json::json;

/// [`crate::Record::sampling`] of such an answer.
pub const SAMPLING: &str = "likelihood of the options";

/// The token that ends an answer; its log-probability counts, as V*'s authors count it.
const CLOSING: &str = "<|im_end|>";

/// Who can say how likely an answer is.
pub trait Likelihood: Policy {
    /// The natural log-probabilities of the tokens of each option, its end included, as the answer to what was asked.
    ///
    /// # Errors
    /// A prompt that does not fit its pictures, or a model that fails.
    fn option_logprobs(&self, asked: &Asked<Self::Picture>) -> Result<Vec<Vec<f32>>>;
}

/// A policy that does not speak: its answer is the likeliest option.
#[derive(Clone, Debug)]
pub struct Likeliest<L>(pub L);

/// The option with the greatest mean log-probability a token, the first of equals; `None` where there is none or a mean
/// is no number.
pub fn likeliest(logprobs: &[Vec<f32>]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (at, mean) in logprobs.iter().map(|logp_t| mean(logp_t)).enumerate() {
        let mean = mean.filter(|mean| mean.is_finite())?;
        if best.is_none_or(|(_, greatest)| mean > greatest) {
            best = Some((at, mean));
        }
    }
    best.map(|(at, _)| at)
}

fn mean(logp_t: &[f32]) -> Option<f64> {
    let values: Vec<f64> = logp_t.iter().copied().map(f64::from).collect();
    crate::stats::mean(&values)
}

impl<L: Likelihood> Likeliest<L> {
    fn choose(&self, asked: &Asked<L::Picture>) -> Result<Result<Reply, Failed>> {
        if asked.choices.is_empty() {
            let place = format!("sample {}", asked.question.sample);
            return Err(Error::differs(place, "choices", "there to be compared", "empty"));
        }
        let logprobs = self.0.option_logprobs(asked)?;
        let Some(chosen) = likeliest(&logprobs) else {
            return Ok(Err(Failed("an option has no finite log-probability".into())));
        };
        let means: Vec<Option<f64>> = logprobs.iter().map(|logp_t| mean(logp_t)).collect();
        let turns = vec![json!({ "mean_logprob": means })];
        Ok(Ok(Reply { text: letter(chosen).to_string(), turns, ..Reply::default() }))
    }
}

impl<L: Likelihood> Policy for Likeliest<L> {
    type Picture = L::Picture;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn sampling(&self) -> String {
        SAMPLING.into()
    }

    fn pixels(&self) -> Option<[u64; 2]> {
        self.0.pixels()
    }

    fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        self.0.resize(picture)
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<L::Picture>> {
        self.0.prepare(picture)
    }

    fn demand(&self) -> Demand {
        self.0.demand()
    }

    fn answer(&self, asked: &[Asked<L::Picture>]) -> Result<Vec<Result<Reply, Failed>>> {
        asked.iter().map(|asked| self.choose(asked)).collect()
    }
}

impl Likelihood for Local {
    fn option_logprobs(&self, asked: &Asked<Self::Picture>) -> Result<Vec<Vec<f32>>> {
        let model = self.model()?;
        let prompt = self.processor().prompt(&asked.messages, &asked.pictures)?;
        self.on_own_threads(|| score(&model, self, &prompt, &asked.choices))
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
