//! Continuing prompts: batched, the rollouts of a prompt sharing its keys and values.
//!
//! Decides which token comes next and what its probability was. A rollout's tokens depend on its
//! prompt, the sampling settings, its seed and its index alone: not on what else is in the batch, nor on
//! the number of threads. Knows no tokenizer: which ids stop or are forbidden is said to it.

mod cache;
mod decode;
mod sampler;

use std::sync::Arc;

use crate::models::VisionLanguageModel;
use crate::processor::Prompt;
use crate::{Error, Result};
use cache::Row;
pub use sampler::Sampling;
use sampler::{Draw, Sampler};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It sampled a stop id, which is its last token.
    Stop,
    /// It reached the largest number of tokens.
    Length,
}

/// A rollout.
#[derive(Clone, Debug, PartialEq)]
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
    fn push(&mut self, draw: &Draw) {
        self.ids.push(draw.id);
        self.logp_raw.push(draw.logp_raw);
        self.logp_tempered.push(draw.logp_tempered);
        self.logp_sampled.push(draw.logp_sampled);
    }
}

/// A rollout on its way.
struct Active {
    request: usize,
    index: usize,
    row: Row,
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
    let sampler = Sampler::new(sampling, model.config())?;
    if let Some(at) = requests.iter().position(|request| request.prompt.input_ids.is_empty()) {
        return Err(Error::input(format!("request {at}"), "prompt", "at least one token", "empty"));
    }
    let mut done: Vec<Vec<Generated>> = requests.iter().map(|request| empty(request.n)).collect();
    if requests.iter().all(|request| request.n == 0) || sampling.max_tokens == 0 {
        return Ok(done);
    }
    let prompts: Vec<&Prompt> = requests.iter().map(|request| &*request.prompt).collect();
    let (caches, mut logits) = decode::prefill(model, &prompts)?;
    let vocab = model.config().text.vocab_size;
    let mut active: Vec<Active> = Vec::new();
    let mut rows_logits = Vec::new();
    for (request, cache) in caches.into_iter().enumerate() {
        let cache = Arc::new(cache);
        for index in 0..requests[request].n {
            active.push(Active { request, index, row: Row::new(&cache, sampling.max_tokens) });
            rows_logits.extend_from_slice(&logits[request * vocab..][..vocab]);
        }
    }
    logits = rows_logits;
    for step in 0..sampling.max_tokens {
        let places: Vec<_> = active
            .iter()
            .map(|rollout| {
                let request = &requests[rollout.request];
                let generated = &done[rollout.request][rollout.index];
                (request.seed, rollout.index as u64, &request.prompt.input_ids[..], &generated.ids[..])
            })
            .collect();
        let draws = sampler.draw_all(&mut logits, &places, step)?;
        let last = step + 1 == sampling.max_tokens;
        let mut kept = Vec::with_capacity(active.len());
        for (mut rollout, draw) in active.into_iter().zip(&draws) {
            let generated = &mut done[rollout.request][rollout.index];
            generated.push(draw);
            if sampling.stop_ids.contains(&draw.id) {
                generated.stop = Stop::Stop;
            } else if !last {
                rollout.row.next = draw.id;
                kept.push(rollout);
            }
        }
        active = kept;
        if active.is_empty() {
            break;
        }
        let mut rows: Vec<&mut Row> = active.iter_mut().map(|rollout| &mut rollout.row).collect();
        logits = decode::step(model, &mut rows)?;
    }
    Ok(done)
}

fn empty(n: usize) -> Vec<Generated> {
    let none = || Generated {
        ids: vec![],
        logp_raw: vec![],
        logp_tempered: vec![],
        logp_sampled: vec![],
        stop: Stop::Length,
    };
    (0..n).map(|_| none()).collect()
}
