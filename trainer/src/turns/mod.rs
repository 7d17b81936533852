//! Answers of several turns: the model says where to look, is shown that part, and answers (MGPO).
//!
//! Decides what becomes of the tokens: what was sampled stays as it is, a closing token is put where none was
//! sampled, and only the assistant's turns are scored. The rules of the conversation are
//! [`foveate_vision::grounding`]'s.

mod given;
mod measure;
mod sampled;
mod targets;

pub(crate) use measure::Looks;
pub use measure::measure;
pub use targets::{hull, intersection_over_union};

use crate::data::Source;
use crate::policy::LocalPolicy;
use crate::recipe::{Trained, TurnsRecipe};
use crate::{Error, Result};
use foveate_datasets::Sample;
use foveate_vision::config::Family;
use foveate_vision::grounding::{Dialogue, Protocol, Refusal, Region};
use foveate_vision::images::{ImageProcessor, Patches};
use foveate_vision::pack::Continuation;
use foveate_vision::processor::Prompt;
use image::RgbImage;
use rayon::prelude::*;
use std::sync::Arc;

/// How answers of several turns are asked for.
#[derive(Debug, Clone)]
pub struct Turns {
    /// The rules.
    pub protocol: Protocol,
    /// Which turns give a gradient.
    pub train: Trained,
}

/// A question that was asked, ready to be answered.
#[derive(Debug, Clone)]
pub struct Opened<'a> {
    /// The question.
    pub sample: Sample,
    /// Its first turn as the model reads it.
    pub prompt: Arc<Prompt>,
    dialogue: Dialogue<'a>,
}

/// What a rollout was told between two of its turns.
#[derive(Debug, Clone)]
pub struct Heard {
    /// How many of the rollout's own tokens stand before it.
    pub after: usize,
    /// Its tokens, from behind the closing token of the turn before to the opening of the next, and images.
    pub prompt: Arc<Prompt>,
    /// The reply that it followed, as far as it was kept.
    pub reply: String,
    /// What the reply said to look at, or why that cannot be shown.
    pub region: std::result::Result<Region, Refusal>,
}

/// The assistant's part of a conversation, and what it heard.
#[derive(Debug, Clone, Default)]
pub struct Episode {
    /// The assistant's tokens, all turns one after another.
    pub ids: Vec<u32>,
    /// What the sampler thought of each; NaN for a token that was put there. Empty for a given answer.
    pub logp_tempered: Vec<f32>,
    /// What was heard between them.
    pub heard: Vec<Heard>,
    /// The last turn's text.
    pub text: String,
    /// Whether no turn was cut off.
    pub finished: bool,
}

impl Turns {
    /// What a recipe says, for this model.
    ///
    /// # Errors
    /// A script that there is not.
    pub fn new(recipe: &TurnsRecipe, policy: &LocalPolicy) -> Result<Self> {
        let protocol = Self::rules(recipe, policy.model.config().family, &policy.processor.images)?;
        Ok(Self { protocol, train: recipe.train })
    }

    /// The rules that a recipe states, for a model of `family` whose images are resized by `images`.
    ///
    /// # Errors
    /// A script that there is not.
    pub fn rules(recipe: &TurnsRecipe, family: Family, images: &ImageProcessor) -> Result<Protocol> {
        let mut protocol = Protocol::new(&recipe.script, family, images)?;
        (protocol.turns, protocol.forced) = (recipe.max, recipe.forced);
        protocol.frame = recipe.frame.unwrap_or(protocol.frame);
        protocol.rules.min_side = recipe.min_side.unwrap_or(protocol.rules.min_side);
        Ok(protocol)
    }

    /// How many of a rollout's own tokens, from the first, give no gradient.
    pub fn untrained(&self, heard: &[Heard]) -> usize {
        match self.train {
            Trained::All => 0,
            Trained::Last => heard.last().map_or(0, |heard| heard.after),
        }
    }

    /// Asks the samples at `indices`, whose images are changed first (a corruption). Neighbours about one
    /// image share its pixels and patches.
    ///
    /// # Errors
    /// Broken data, or a sample that is not about one image.
    pub fn open(
        &self,
        policy: &LocalPolicy,
        source: &Source,
        indices: &[usize],
        change: impl Fn(&RgbImage, usize) -> RgbImage + Sync,
    ) -> Result<Vec<Opened<'_>>> {
        let about: Vec<&[usize]> = source.about(indices);
        let open = |indices: &&[usize]| -> Result<Vec<Opened<'_>>> {
            let samples = indices.iter().map(|&index| source.sample(index)).collect::<Result<Vec<_>>>()?;
            let image = Arc::new(change(only_image(&samples[0])?.as_ref(), indices[0]));
            let patches = Arc::new(policy.processor.images.patches(&image)?);
            let task = source.task();
            let one = |sample: Sample| {
                only_image(&sample)?;
                let asked = task.prompt(&sample);
                let dialogue = Dialogue::open(&self.protocol, image.clone(), &sample.problem, &asked)?;
                let prompt = policy.processor.prompt(dialogue.messages(), std::slice::from_ref(&patches))?;
                Ok(Opened { sample, prompt: Arc::new(prompt), dialogue })
            };
            samples.into_iter().map(one).collect()
        };
        let opened: Vec<Result<Vec<_>>> = about.par_iter().map(open).collect();
        Ok(opened.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

impl Opened<'_> {
    /// The patches of the original.
    fn original(&self) -> &Arc<Patches> {
        &self.prompt.images[0]
    }
}

/// Own tokens and what was heard between them, as a pack lays them: the own ones are scored.
pub fn continuation(ids: &[u32], heard: &[Heard]) -> Continuation {
    let mut all = Continuation::default();
    let mut from = 0;
    for (to, heard) in heard.iter().map(|h| (h.after, Some(h))).chain(std::iter::once((ids.len(), None))) {
        if to > from {
            all.scored.push(all.ids.len()..all.ids.len() + to - from);
        }
        all.ids.extend_from_slice(&ids[from..to]);
        if let Some(heard) = heard {
            all.ids.extend_from_slice(&heard.prompt.input_ids);
            all.images.extend_from_slice(&heard.prompt.images);
        }
        from = to;
    }
    all
}

fn only_image(sample: &Sample) -> Result<Arc<RgbImage>> {
    match &sample.images[..] {
        [image] => Ok(image.decode()?),
        images => {
            let message = format!(
                "{}: a conversation is about one image, but there are {}",
                sample.place(),
                images.len()
            );
            Err(Error::Recipe { place: "rollout.turns".into(), message })
        }
    }
}
