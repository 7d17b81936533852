//! The supervised stage: given answers, several questions of each image.
//!
//! One question an image stays at chance for long (notes on tiny models say so), and questions of one
//! image share its pass through the vision tower. The loss is the cross-entropy of the answer's tokens:
//! REINFORCE with credit 1.

use crate::data::{self, Question, Source};
use crate::policy::LocalPolicy;
use crate::ranks::Share;
use crate::recipe::WarmupRecipe;
use crate::reward::Scored;
use crate::rollout::{Group, Rollout};
use crate::seeds::{Purpose, seed};
use crate::turns::{Episode, Opened, Turns};
use crate::{Error, Result};
use foveate_datasets::{Grade, Sample};
use foveate_objectives::{Named, Objective, ObjectiveSpec};
use foveate_ranks::Collective;
use foveate_vision::processor::Prompt;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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

/// Which samples have an answer to learn from.
#[derive(Debug)]
pub struct Lessons {
    /// By sample; empty if all have.
    shown: Vec<bool>,
    /// Runs of samples about one image, of which at least one is shown.
    images: Vec<Range<usize>>,
}

impl Lessons {
    /// Draws them: of a category that `share` names, about that share of its samples. `images` are the runs
    /// of [`Source::images`].
    ///
    /// # Errors
    /// Broken data, a category that no sample is of, or nothing left to learn from.
    pub fn new(
        source: &Source,
        images: &[Range<usize>],
        share: &BTreeMap<String, f64>,
        run_seed: u64,
    ) -> Result<Self> {
        if share.is_empty() {
            return Ok(Self { shown: vec![], images: images.to_vec() });
        }
        let mut met = BTreeSet::new();
        let mut draw = |index: usize| -> Result<bool> {
            let sample = source.sample(index)?;
            let category = category(&sample);
            let part = share.get(category).copied();
            met.insert(category.to_owned());
            let drawn = seed(run_seed, Purpose::Shown, 0, index as u64, 0) as f64 / u64::MAX as f64;
            Ok(part.is_none_or(|part| drawn < part))
        };
        let shown = (0..source.len()).map(&mut draw).collect::<Result<Vec<_>>>()?;
        let fault = |place: String, message: String| Err(Error::Recipe { place, message });
        if let Some(name) = share.keys().find(|name| !met.contains(*name)) {
            let known = Vec::from_iter(met).join(", ");
            return fault(
                format!("warmup.share.{name}"),
                format!("should name one of the categories {known} of task `{}`", source.task().name()),
            );
        }
        let some = |run: &&Range<usize>| shown[(*run).clone()].contains(&true);
        let images = images.iter().filter(some).cloned().collect::<Vec<_>>();
        if images.is_empty() {
            return fault("warmup.share".into(), "should leave answers to learn from, but leaves 0".into());
        }
        Ok(Self { shown, images })
    }

    /// This rank's share of the questions of step `step` (from 0), with their right answers as the only rollouts.
    /// With `turns` the model is also told where to look.
    ///
    /// # Errors
    /// Broken data, an answer without a token, or a sample that does not say where to look.
    pub fn groups(
        &self,
        policy: &LocalPolicy,
        source: &Source,
        turns: Option<&Turns>,
        recipe: &WarmupRecipe,
        (step, ranks): (u64, &dyn Collective),
    ) -> Result<(Vec<Group>, Share)> {
        let allowed = |index: usize| self.shown.get(index).copied().unwrap_or(true);
        let some = (recipe.images, recipe.questions);
        let chosen = source.about_images(&self.images, some, allowed, Purpose::WarmUp, step)?;
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
                let asked = data::questions(&policy.processor, source, &chosen, |image, _| image.clone())?;
                let given = |Question { sample, prompt, .. }: Question| {
                    let episode = Episode::given(policy, &sample)?;
                    Ok((sample, prompt, episode))
                };
                asked.into_iter().map(given).collect::<Result<_>>()?
            }
        };
        let groups = asked.into_iter().map(|(sample, prompt, episode)| group(sample, prompt, episode));
        Ok((groups.collect(), share))
    }
}

/// The category that a task tells of a sample, or the family of questions where it draws them.
fn category(sample: &Sample) -> &str {
    let told = |key: &&str| sample.meta.get(*key).and_then(Value::as_str);
    ["category", "family"].iter().find_map(told).unwrap_or("none")
}

/// A given answer as if it had been sampled.
fn group(sample: Sample, prompt: Arc<Prompt>, episode: Episode) -> Group {
    let Episode { ids, logp_tempered, heard, text, finished } = episode;
    let (grade, scored) = (Grade::of(true, text.clone()), Scored { total: 1.0, parts: vec![] });
    let rollout = Rollout { ids, text, logp_tempered, finished, heard, untrained: 0, grade, scored };
    Group { sample, prompt, views: vec![], rollouts: vec![rollout] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveate_datasets::Split;

    fn shares(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, part)| ((*name).to_owned(), *part)).collect()
    }

    #[test]
    fn a_share_of_a_category_is_shown_and_all_of_the_others() {
        let source = Source::open("shapes", None, Split::Train, Some(56), Some(800), 1).unwrap();
        let families: Vec<_> =
            (0..source.len()).map(|i| category(&source.sample(i).unwrap()).to_owned()).collect();
        let (first, last) = (families[0].as_str(), families.iter().find(|f| **f != families[0]).unwrap());
        let images = source.images();
        let lessons = Lessons::new(&source, &images, &shares(&[(first, 0.0), (last, 0.5)]), 1).unwrap();
        let part = |family: &str| {
            let of = families.iter().zip(&lessons.shown).filter(|(f, _)| *f == family);
            let shown: Vec<f64> = of.map(|(_, shown)| f64::from(u8::from(*shown))).collect();
            shown.iter().sum::<f64>() / shown.len() as f64
        };
        assert_eq!(part(first), 0.0);
        assert!((part(last) - 0.5).abs() < 0.15, "{}", part(last));
        for family in families.iter().filter(|f| *f != first && *f != last) {
            assert_eq!(part(family), 1.0);
        }
        assert!(lessons.images.iter().all(|run| lessons.shown[run.clone()].contains(&true)));
        let again = Lessons::new(&source, &images, &shares(&[(first, 0.0), (last, 0.5)]), 1).unwrap();
        assert_eq!(lessons.shown, again.shown);
    }

    #[test]
    fn a_category_that_no_sample_is_of_is_refused() {
        let source = Source::open("shapes", None, Split::Train, Some(56), Some(80), 1).unwrap();
        let refused = Lessons::new(&source, &source.images(), &shares(&[("colour", 0.5)]), 1);
        let message = refused.unwrap_err().to_string();
        let known = category(&source.sample(0).unwrap()).to_owned();
        assert!(message.contains("warmup.share.colour") && message.contains(&known), "{message}");
        let all: BTreeSet<String> =
            (0..80).map(|i| category(&source.sample(i).unwrap()).to_owned()).collect();
        let none = all.into_iter().map(|name| (name, 0.0)).collect();
        let refused = Lessons::new(&source, &source.images(), &none, 1);
        assert!(refused.unwrap_err().to_string().contains("warmup.share"));
    }
}
