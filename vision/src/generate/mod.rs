//! Continuing prompts: batched, the rollouts of a prompt sharing its keys and values. [`generate()`] gives
//! one answer, [`Conversations`] go on over several turns.
//!
//! Decides which token comes next and what its probability was. A rollout's tokens depend on its
//! prompt, the sampling settings, its seed and its index alone: not on what else is in the batch, nor on
//! the number of threads (on other devices than a CPU but for rounding). Knows no tokenizer: which ids stop or are forbidden is said to it.

mod cache;
mod conversation;
mod decode;
mod extend;
mod kept;
mod places;
mod sampler;

use std::sync::Arc;

use crate::Result;
use crate::models::VisionLanguageModel;
use crate::processor::Prompt;
pub use conversation::{Conversations, Heard};
pub use sampler::Sampling;
pub(crate) use sampler::unit;
use sampler::{Draw, Sampler};
use serde::{Deserialize, Serialize};

/// A prompt to be continued `n` times.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt.
    pub prompt: Arc<Prompt>,
    /// Rollouts; the group's size.
    pub n: usize,
    /// Seed of the group; rollout `i` draws from stream `i` of it.
    pub seed: u64,
}

/// Why a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// It sampled a stop id, which is its last token.
    Stop,
    /// It reached the largest number of tokens.
    Length,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// Token ids, a stop id included.
    pub ids: Vec<u32>,
    /// Log-probability of each token under `softmax(logits)`.
    pub logp_raw: Vec<f32>,
    /// Under `softmax(logits / temperature)`: what a trainer recomputes. As `logp_raw` when greedy.
    pub logp_tempered: Vec<f32>,
    /// Under the distribution it was drawn from: penalised, tempered, truncated. 0 when greedy.
    pub logp_sampled: Vec<f32>,
    /// Why it ended.
    pub stop: Stop,
}

impl Generated {
    fn empty() -> Self {
        let (ids, none) = (vec![], Vec::new);
        Self { ids, logp_raw: none(), logp_tempered: none(), logp_sampled: none(), stop: Stop::Length }
    }

    fn push(&mut self, draw: &Draw) {
        self.ids.push(draw.id);
        self.logp_raw.push(draw.logp_raw);
        self.logp_tempered.push(draw.logp_tempered);
        self.logp_sampled.push(draw.logp_sampled);
    }
}

/// Continues every request; the result has one list a request, of its rollouts in order.
///
/// # Errors
/// Settings that cannot be sampled from, a prompt that does not fit the model, and those of the tensor
/// library.
pub fn generate(
    model: &VisionLanguageModel,
    requests: &[Request],
    sampling: &Sampling,
) -> Result<Vec<Vec<Generated>>> {
    Sampler::new(sampling, model.config())?;
    let rollouts: usize = requests.iter().map(|request| request.n).sum();
    let said = match rollouts == 0 || sampling.max_tokens == 0 {
        true => vec![Some(Generated::empty()); rollouts],
        false => Conversations::begin(model, requests)?.close(sampling)?,
    };
    let mut said = said.into_iter().flatten();
    Ok(requests.iter().map(|request| said.by_ref().take(request.n).collect()).collect())
}
