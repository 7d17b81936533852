//! The supervised stage: given answers, several questions of each image.
//!
//! One question an image stays at chance for long (notes on tiny models say so), and questions of one
//! image share its pass through the vision tower. The loss is the cross-entropy of the answer's tokens:
//! REINFORCE with credit 1.

use crate::data::{self, Source};
use crate::policy::LocalPolicy;
use crate::recipe::WarmupRecipe;
use crate::reward::Scored;
use crate::rollout::{Group, Rollout};
use crate::seeds::Purpose;
use crate::{Error, Result};
use foveate_datasets::{Grade, Sample};
use foveate_objectives::{Named, Objective, ObjectiveSpec};
use foveate_vision::processor::Prompt;
use std::ops::Range;
use std::sync::Arc;

/// The cross-entropy as an objective.
///
/// # Errors
/// Never: its rows are in the tables.
pub fn objective() -> Result<Objective> {
    let spec = ObjectiveSpec { surrogate: Named::new("reinforce"), ..Default::default() };
    Ok(Objective::new(&spec, &[])?)
}

/// The questions of step `step` (from 0) with their right answers as the only rollouts. `images` are the
/// runs of samples of [`Source::images`].
///
/// # Errors
/// Broken data, or an answer without a token.
pub fn groups(
    policy: &LocalPolicy,
    source: &Source,
    images: &[Range<usize>],
    recipe: &WarmupRecipe,
    run_seed: u64,
    step: u64,
) -> Result<Vec<Group>> {
    let chosen =
        data::about_images(images, (recipe.images, recipe.questions), run_seed, Purpose::WarmUp, step);
    let asked = data::prompts(&policy.processor, source, &chosen.concat(), |image, _| image.clone())?;
    let group = |(sample, prompt): (Sample, Arc<Prompt>)| {
        let rollouts = vec![answer(policy, &sample.answer, &sample.place())?];
        Ok(Group { sample, prompt, views: vec![], rollouts })
    };
    asked.into_iter().map(group).collect()
}

/// A given answer as if it had been sampled.
fn answer(policy: &LocalPolicy, text: &str, place: &str) -> Result<Rollout> {
    let mut ids = policy.processor.tokenizer.encode(text)?;
    if ids.is_empty() {
        let message = format!("{place}: `answer` should have at least one token, but is empty");
        return Err(Error::Recipe { place: "data".into(), message });
    }
    ids.extend(policy.generation.eos_token_ids.first());
    Ok(Rollout {
        ids,
        text: text.to_string(),
        logp_tempered: vec![],
        finished: true,
        grade: Grade::of(true, text),
        scored: Scored { total: 1.0, parts: vec![] },
    })
}
