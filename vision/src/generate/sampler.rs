//! One token out of a row of logits.
//!
//! The order is transformers': forbidden ids, repetition penalty, temperature, top-k, top-p, min-p.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::config::Config;
use crate::nn::simd::{exp, max, sum2, vectorised};
use crate::{Error, Result};

/// How tokens are drawn. The default is what GRPO samples with: the model's own distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Tokens of a rollout at most.
    pub max_tokens: usize,
    /// Stop ids are not drawn before so many tokens.
    pub min_tokens: usize,
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f32,
    /// Keeps the likeliest tokens whose probabilities sum to at least this; 1 keeps all.
    pub top_p: f32,
    /// Keeps so many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps tokens at least this likely relative to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of ids seen before, prompt included; 1 is none.
    pub repetition_penalty: f32,
    /// Ids that end a rollout.
    pub stop_ids: Vec<u32>,
    /// Ids the tokenizer knows: those from here on are never drawn. 0 means the model's whole vocabulary.
    pub tokenizer_size: usize,
    /// Further ids that are never drawn.
    pub forbidden_ids: Vec<u32>,
    /// Draw image and video placeholders like any token: only to compare with programs that do.
    pub allow_placeholders: bool,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_tokens: 16,
            min_tokens: 0,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            stop_ids: vec![],
            tokenizer_size: 0,
            forbidden_ids: vec![],
            allow_placeholders: false,
        }
    }
}

impl Sampling {
    /// Ids that are never drawn, whoever samples: placeholders of pictures, and ids that the tokenizer of a
    /// model with this config does not know.
    pub fn forbidden(&self, config: &Config) -> Vec<u32> {
        let vocab = config.text.vocab_size;
        let known = if self.tokenizer_size == 0 { vocab } else { self.tokenizer_size.min(vocab) };
        let mut forbidden = self.forbidden_ids.clone();
        if !self.allow_placeholders {
            forbidden.extend([config.image_token_id, config.video_token_id]);
        }
        forbidden.retain(|&id| (id as usize) < known);
        forbidden.extend((known..vocab).map(|id| id as u32));
        forbidden
    }
}

/// A drawn token and its log-probabilities (see [`super::Generated`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    pub id: u32,
    pub logp_raw: f32,
    pub logp_tempered: f32,
    pub logp_sampled: f32,
}

/// Checked settings and the ids they forbid.
pub(crate) struct Sampler<'a> {
    sampling: &'a Sampling,
    forbidden: Vec<u32>,
    vocab: usize,
}

/// Where a rollout stands.
pub(crate) struct Place<'a> {
    pub seed: u64,
    pub stream: u64,
    /// Tokens it drew before, in all its turns: the place of its next draw in the stream.
    pub drawn: usize,
    pub prompt: &'a [u32],
    /// What followed the prompt.
    pub ids: &'a [u32],
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(sampling: &'a Sampling, config: &Config) -> Result<Self> {
        let wrong =
            |field: &str, expected: &str, found: f32| Err(Error::input("sampling", field, expected, found));
        if !(sampling.temperature >= 0.0 && sampling.temperature.is_finite()) {
            return wrong("temperature", "0 or more", sampling.temperature);
        }
        if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
            return wrong("top_p", "above 0 and at most 1", sampling.top_p);
        }
        if !(0.0..=1.0).contains(&sampling.min_p) {
            return wrong("min_p", "from 0 to 1", sampling.min_p);
        }
        if !(sampling.repetition_penalty > 0.0 && sampling.repetition_penalty.is_finite()) {
            return wrong("repetition_penalty", "above 0", sampling.repetition_penalty);
        }
        Ok(Self { sampling, forbidden: sampling.forbidden(config), vocab: config.text.vocab_size })
    }

    /// One token for every row of `logits`, `[R, V]`, which are used up; the `step`-th of this turn.
    pub(crate) fn draw_all(&self, logits: &mut [f32], places: &[Place], step: usize) -> Result<Vec<Draw>> {
        logits
            .par_chunks_mut(self.vocab)
            .zip(places)
            .map(|(logits, place)| {
                let drawn = vectorised(|| self.draw(logits, place, step));
                drawn.ok_or_else(|| {
                    let found = "NaN, infinite or all forbidden";
                    Error::input("sampling", format!("logits of step {step}"), "finite", found)
                })
            })
            .collect()
    }

    #[inline(always)]
    fn draw(&self, logits: &mut [f32], place: &Place, step: usize) -> Option<Draw> {
        let sampling = self.sampling;
        let raw_lse = log_sum_exp(logits, 1.0);
        let heat = if sampling.temperature > 0.0 { 1.0 / sampling.temperature } else { 1.0 };
        let tempered_lse = if heat == 1.0 { raw_lse } else { log_sum_exp(logits, heat) };
        if !raw_lse.is_finite() || !tempered_lse.is_finite() {
            return None;
        }
        let early = if step < sampling.min_tokens { &sampling.stop_ids[..] } else { &[] };
        let kept: Vec<(u32, f32)> = self.forbidden.iter().chain(early).map(|&id| (id, f32::NAN)).collect();
        // Raw logits are still needed of the token that is drawn, which is never a forbidden one.
        let mut changed = self.penalise(logits, place);
        for (id, _) in kept {
            logits[id as usize] = f32::NEG_INFINITY;
        }
        let (id, logp_sampled) = if sampling.temperature == 0.0 {
            (argmax(logits)?, 0.0)
        } else {
            self.sample(logits, heat, uniform(place.seed, place.stream, place.drawn))?
        };
        changed.retain(|&(changed, _)| changed == id);
        let raw = changed.first().map_or(logits[id as usize], |&(_, raw)| raw);
        let (logp_raw, logp_tempered) = (raw - raw_lse, raw * heat - tempered_lse);
        Some(Draw { id, logp_raw, logp_tempered, logp_sampled })
    }

    /// Applies the repetition penalty; the result is the raw logits of the ids it changed.
    #[inline(always)]
    fn penalise(&self, logits: &mut [f32], place: &Place) -> Vec<(u32, f32)> {
        let penalty = self.sampling.repetition_penalty;
        if penalty == 1.0 {
            return vec![];
        }
        let mut seen: Vec<u32> = place.prompt.iter().chain(place.ids).copied().collect();
        seen.sort_unstable();
        seen.dedup();
        let raw = seen.into_iter().map(|id| (id, logits[id as usize])).collect::<Vec<_>>();
        for &(id, logit) in &raw {
            logits[id as usize] = if logit > 0.0 { logit / penalty } else { logit * penalty };
        }
        raw
    }

    /// The token where the cumulated probability passes `u`, and its log-probability.
    #[inline(always)]
    fn sample(&self, logits: &mut [f32], heat: f32, u: f64) -> Option<(u32, f32)> {
        let peak = max(logits) * heat;
        if !peak.is_finite() {
            return None;
        }
        let raw = |logit: f32| logit * heat - peak;
        let floor = self.floor(logits, heat, peak);
        let mut total = 0.0f64;
        for &logit in logits.iter() {
            if logit >= floor {
                total += f64::from(exp(raw(logit)));
            }
        }
        let (mut passed, mut last) = (0.0f64, None);
        for (id, &logit) in logits.iter().enumerate() {
            let weight = f64::from(exp(raw(logit)));
            if logit < floor || weight == 0.0 {
                continue;
            }
            passed += weight;
            last = Some((id as u32, logit));
            if passed > u * total {
                break;
            }
        }
        last.map(|(id, logit)| (id, (f64::from(raw(logit)) - total.ln()) as f32))
    }

    /// The smallest logit that top-k, top-p and min-p leave in.
    #[inline(always)]
    fn floor(&self, logits: &[f32], heat: f32, peak: f32) -> f32 {
        let Sampling { top_k, top_p, min_p, .. } = *self.sampling;
        let mut floor = f32::MIN; // forbidden logits are below even this
        if top_k == 0 && top_p >= 1.0 && min_p <= 0.0 {
            return floor;
        }
        let mut sorted: Vec<f32> = logits.iter().copied().filter(|logit| *logit > f32::MIN).collect();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        if top_k > 0 {
            // Ties with the k-th stay in, as in transformers.
            floor = sorted[top_k.min(sorted.len()) - 1];
            sorted.truncate(sorted.partition_point(|&logit| logit >= floor));
        }
        if top_p < 1.0 {
            let weights: Vec<f64> = sorted.iter().map(|&logit| f64::from(exp(logit * heat - peak))).collect();
            let goal = f64::from(top_p) * weights.iter().sum::<f64>();
            let (mut passed, mut count) = (0.0, 0);
            for weight in &weights {
                passed += weight;
                count += 1;
                if passed >= goal {
                    break;
                }
            }
            floor = floor.max(sorted[count - 1]);
            sorted.truncate(count);
        }
        if min_p > 0.0 {
            floor = floor.max((peak + min_p.ln()) / heat);
        }
        floor
    }
}

/// `log(sum(e^(heat * logit)))`.
#[inline(always)]
fn log_sum_exp(logits: &[f32], heat: f32) -> f32 {
    let peak = max(logits) * heat;
    peak + sum2(logits, logits, |logit, _| exp(logit * heat - peak)).ln()
}

#[inline(always)]
fn argmax(logits: &[f32]) -> Option<u32> {
    let peak = max(logits);
    logits.iter().position(|&logit| logit == peak && logit.is_finite()).map(|id| id as u32)
}

/// A number in [0, 1) for (seed, stream, place), whatever was drawn before.
fn uniform(seed: u64, stream: u64, place: usize) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng.set_word_pos(2 * place as u128);
    unit(&mut rng)
}

/// The next number in [0, 1).
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
