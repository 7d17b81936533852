//! The supervised stage: given answers, several questions of each image.
//!
//! One question an image stays at chance for long (notes on tiny models say so), and questions of one
//! image share its pass through the vision tower. The loss is the cross-entropy of the answer's tokens:
//! REINFORCE with credit 1.

use crate::Result;
use crate::data::{self, Source};
use crate::policy::LocalPolicy;
use crate::ranks::Share;
use crate::recipe::WarmupRecipe;
use crate::reward::Scored;
use crate::rollout::{Group, Rollout};
use crate::seeds::Purpose;
use crate::turns::{Episode, Opened, Turns};
use foveate_datasets::{Grade, Sample};
use foveate_objectives::{Named, Objective, ObjectiveSpec};
use foveate_ranks::Collective;
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

/// This rank's share of the questions of step `step` (from 0), with their right answers as the only rollouts.
/// `images` are the runs of samples of [`Source::images`]. With `turns` the model is also told where to look.
///
/// # Errors
/// Broken data, an answer without a token, or a sample that does not say where to look.
pub fn groups(
    policy: &LocalPolicy,
    source: &Source,
    images: &[Range<usize>],
    turns: Option<&Turns>,
    recipe: &WarmupRecipe,
    (step, ranks): (u64, &dyn Collective),
) -> Result<(Vec<Group>, Share)> {
    let chosen = source.about_images(images, (recipe.images, recipe.questions), Purpose::WarmUp, step)?;
    let (chosen, share) = Share::deal(ranks, &chosen);
    let asked = match turns {
        Some(turns) => {
            let opened = turns.open(policy, source, &chosen, |image, _| image.clone())?;
            let given = |opened: Opened<'_>| {
                let episode = turns.given(policy, &opened)?;
                Ok((opened.sample, opened.prompt, episode))
            };
            opened.into_iter().map(given).collect::<Result<Vec<_>>>()?
        }
        None => {
            let asked = data::prompts(&policy.processor, source, &chosen, |image, _| image.clone())?;
            let given = |(sample, prompt)| {
                let episode = Episode::given(policy, &sample)?;
                Ok((sample, prompt, episode))
            };
            asked.into_iter().map(given).collect::<Result<_>>()?
        }
    };
    let groups = asked.into_iter().map(|(sample, prompt, episode)| group(sample, prompt, episode));
    Ok((groups.collect(), share))
}

/// A given answer as if it had been sampled.
fn group(sample: Sample, prompt: Arc<Prompt>, episode: Episode) -> Group {
    let Episode { ids, logp_tempered, heard, text, finished } = episode;
    let (grade, scored) = (Grade::of(true, text.clone()), Scored { total: 1.0, parts: vec![] });
    let rollout = Rollout { ids, text, logp_tempered, finished, heard, untrained: 0, grade, scored };
    Group { sample, prompt, views: vec![], rollouts: vec![rollout] }
}
