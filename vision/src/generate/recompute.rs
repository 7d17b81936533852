//! Continuing without kept keys and values: what rollouts said runs anew for every token, by the compositions of candle
//! operations.
//!
//! For models that are not in f32 on a CPU, which the decoder's arithmetic is made for. Right on every device; the time
//! grows with the square of the length. V vocabulary, R rollouts.

use std::sync::Arc;

use candle_core::DType;

use super::cache::PromptCache;
use crate::Result;
use crate::images::Patches;
use crate::models::VisionLanguageModel;
use crate::pack::{Continuation, PackBuilder};
use crate::processor::Prompt;

/// What a rollout says after its prompt: tokens, and the images among them.
pub(super) type Said<'a> = (&'a [u32], &'a [Arc<Patches>]);

/// An empty cache for each prompt, and the logits `[prompts, V]` of their next tokens.
pub(super) fn begin(
    model: &VisionLanguageModel,
    prompts: &[&Prompt],
) -> Result<(Vec<Arc<PromptCache>>, Vec<f32>)> {
    let said: Vec<(&Prompt, Vec<Said>)> =
        prompts.iter().map(|prompt| (*prompt, vec![(&[][..], &[][..])])).collect();
    Ok((prompts.iter().map(|_| Arc::default()).collect(), logits(model, &said)?))
}

/// The logits `[R, V]` of the next token of every rollout, prompt by prompt, on the host.
pub(super) fn logits(model: &VisionLanguageModel, groups: &[(&Prompt, Vec<Said>)]) -> Result<Vec<f32>> {
    let mut builder = PackBuilder::new();
    for (prompt, rollouts) in groups {
        let root = builder.root(prompt)?;
        for (ids, images) in rollouts {
            // Any token that is scored: its predictor is the last one said.
            let ids = [*ids, &[0][..]].concat();
            let scored = vec![ids.len() - 1..ids.len()];
            builder.continuation(root, Continuation { ids, scored, images: images.to_vec() })?;
        }
    }
    let logits = model.next_logits(&builder.build()?)?;
    Ok(logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}
