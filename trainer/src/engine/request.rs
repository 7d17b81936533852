//! A question as chat completions take it, and the tokens of a reply.
//!
//! Decides that nothing is left to the server's own defaults: servers take sampling settings from the model's
//! `generation_config.json` unless each is said. Of a reply only ids and their log-probabilities are believed;
//! its text is not read.

use super::Trouble;
use crate::data::Question;
use crate::{Error, Result};
use foveate_eval::server::{Fault, chat, excerpt};
use foveate_vision::config::Config;
use foveate_vision::generate::{Generated, Sampling, Stop};
use foveate_vision::images::{ImageProcessor, Patches};
use rayon::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What an id is given so that it is not drawn: the least that the interface allows.
const NEVER: f64 = -100.0;

/// Which distribution the log-probabilities of a server are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// `softmax(logits)`, whatever the temperature: vLLM's default.
    Raw,
    /// `softmax(logits / temperature)`: what is trained.
    Tempered,
}

/// What is wanted of one question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The model's name at the server.
    pub model: &'a str,
    /// Answers.
    pub n: usize,
    /// Of the first; a server gives the next ones seeds of their own.
    pub seed: u64,
    /// How tokens are drawn.
    pub sampling: &'a Sampling,
    /// Ids that are never drawn.
    pub bias: &'a Value,
    /// Whether answers go on behind the ids that end them.
    pub endless: bool,
}

/// The ids that a server must not draw, as it is told: those that no engine draws, and the marks around
/// pictures, by which a server counts them.
pub(super) fn bias(sampling: &Sampling, config: &Config) -> Value {
    let marks = [config.vision_start_token_id, config.vision_end_token_id];
    let ids = sampling.forbidden(config).into_iter().chain(marks);
    Value::Object(ids.map(|id| (id.to_string(), json!(NEVER))).collect())
}

/// A request for answers to `question`, whose pictures are at `urls`.
pub(super) fn body<'a>(question: &Question, urls: impl Iterator<Item = &'a str>, wish: Wish<'_>) -> Value {
    let s = wish.sampling;
    let mut body = json!({
        "model": wish.model,
        "messages": chat::conversation(&question.messages, urls),
        "n": wish.n,
        // Servers read seeds as signed numbers of 64 bits, some of 32.
        "seed": wish.seed >> 33,
        "max_tokens": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": if s.top_k == 0 { -1 } else { i64::try_from(s.top_k).unwrap_or(i64::MAX) },
        "min_p": s.min_p,
        "repetition_penalty": s.repetition_penalty,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": true,
        "return_token_ids": true,
    });
    if wish.endless {
        body["ignore_eos"] = true.into();
    } else {
        body["stop_token_ids"] = json!(s.stop_ids);
    }
    if s.min_tokens > 0 {
        body["min_tokens"] = s.min_tokens.into();
    }
    if wish.bias.as_object().is_some_and(|bias| !bias.is_empty()) {
        body["logit_bias"] = wish.bias.clone();
    }
    body
}

/// The answers in a reply to `question`, as many as were wished for.
///
/// # Errors
/// A reply that is none; one that lacks ids or log-probabilities, that has another number of answers, or that is
/// about another prompt.
pub(super) fn answers(
    (place, question): (&str, &Question),
    reply: &Value,
    wish: Wish<'_>,
    scale: Scale,
) -> Result<Vec<Generated>, Trouble> {
    let said = || excerpt(reply.to_string().as_bytes());
    let Some(choices) = reply.get("choices").and_then(Value::as_array) else {
        return Err(Fault::passing(format!("the reply has no choices: {}", said()), false).into());
    };
    let sample = format!("{place}: sample {}", question.sample.id);
    let Some(theirs) = chat::prompt_ids(reply) else {
        return Err(lacks(place, "prompt_token_ids").into());
    };
    chat::same_ids(&sample, &question.prompt.input_ids, theirs).map_err(Error::from)?;
    if choices.len() != wish.n {
        let (expected, found) = (wish.n, choices.len());
        return Err(Error::Size { name: format!("{sample}: choices"), expected, found }.into());
    }
    let mut choices: Vec<&Value> = choices.iter().collect();
    choices.sort_by_key(|choice| choice["index"].as_u64());
    choices.into_iter().map(|choice| answer((place, &sample), choice, wish, scale)).collect()
}

fn answer(
    (place, sample): (&str, &str),
    choice: &Value,
    wish: Wish<'_>,
    scale: Scale,
) -> Result<Generated, Trouble> {
    let ids = choice["token_ids"].as_array().ok_or_else(|| lacks(place, "choices[].token_ids"))?;
    let logp = choice["logprobs"]["content"].as_array();
    let logp = logp.ok_or_else(|| lacks(place, "choices[].logprobs.content"))?;
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids: Option<Vec<u32>> = ids.iter().map(id).collect();
    let logp: Option<Vec<f32>> = logp.iter().map(|token| Some(token["logprob"].as_f64()? as f32)).collect();
    let (Some(ids), Some(logp)) = (ids, logp) else {
        return Err(lacks(place, "numbers in choices[].token_ids and choices[].logprobs.content").into());
    };
    if ids.len() != logp.len() {
        // A missing number is not a 0.
        let name = format!("{sample}: logprobs of {} token_ids", ids.len());
        return Err(Error::Size { name, expected: ids.len(), found: logp.len() }.into());
    }
    let stop = stop(sample, choice, &ids, wish)?;
    let unknown = vec![f32::NAN; ids.len()];
    let (logp_raw, logp_tempered) = match scale {
        _ if wish.sampling.temperature == 1.0 => (logp.clone(), logp.clone()),
        Scale::Raw => (logp, unknown.clone()),
        Scale::Tempered => (unknown.clone(), logp),
    };
    Ok(Generated { ids, logp_raw, logp_tempered, logp_sampled: unknown, stop })
}

/// Why an answer ended, if that is how answers end.
fn stop(sample: &str, choice: &Value, ids: &[u32], wish: Wish<'_>) -> Result<Stop, Trouble> {
    let (reason, most) = (choice["finish_reason"].as_str().unwrap_or("none"), wish.sampling.max_tokens);
    let stops = ids.last().is_some_and(|id| wish.sampling.stop_ids.contains(id));
    match reason {
        // The last token may be both: then it ended by itself, as our own sampler says.
        "stop" | "length" if stops && !wish.endless => Ok(Stop::Stop),
        "length" if ids.len() == most => Ok(Stop::Length),
        "stop" | "length" => {
            let ended = wish.sampling.stop_ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
            let last = ids.last().map_or("none".into(), u32::to_string);
            let expected = format!("{most} tokens, or a last one that is {ended}");
            let found = format!("{} tokens with {last} as the last one (finish_reason {reason})", ids.len());
            Err(Error::from(foveate_eval::Error::differs(sample, "token_ids", expected, found)).into())
        }
        // The server was stopped or paused under it.
        other => Err(Fault::passing(format!("an answer ended by `{other}`"), true).into()),
    }
}

fn lacks(place: &str, what: &str) -> Error {
    let message = format!(
        "the reply to a request with `logprobs` and `return_token_ids` has no {what}: a rollout engine must \
         return the ids that it read and sampled (vLLM and SGLang do, in versions of 2026)"
    );
    Error::Server { url: place.into(), message }
}

/// The pictures of questions as URLs, each encoded once.
pub(super) struct Pictures(HashMap<usize, Arc<str>>);

impl Pictures {
    /// Encodes every picture of `questions`, at the size and with the very bytes that the model reads.
    ///
    /// # Errors
    /// Patches of another processor.
    pub(super) fn of(images: &ImageProcessor, questions: &[Question]) -> Result<Self> {
        let all = questions.iter().flat_map(|question| &question.prompt.images);
        let distinct: HashMap<usize, &Arc<Patches>> = all.map(|patches| (key(patches), patches)).collect();
        let encode =
            |(&key, patches): (&usize, &&Arc<Patches>)| Ok((key, chat::data_url(&images.picture(patches)?)?));
        let encoded: Vec<Result<_>> = distinct.par_iter().map(encode).collect();
        encoded.into_iter().collect::<Result<_>>().map(Self)
    }

    /// Those of one question, in reading order.
    pub(super) fn urls<'a>(&'a self, question: &'a Question) -> impl Iterator<Item = &'a str> {
        question.prompt.images.iter().filter_map(|patches| self.0.get(&key(patches)).map(|url| &**url))
    }
}

/// Questions about one image share it: where it lies says which it is.
fn key(patches: &Arc<Patches>) -> usize {
    Arc::as_ptr(patches) as usize
}

/// No bias at all.
pub(super) fn no_bias() -> Value {
    Value::Object(Map::new())
}
