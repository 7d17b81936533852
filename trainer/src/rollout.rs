//! Questions answered by the policy, in one turn or several, graded and rewarded.

use crate::ask::Asker;
use crate::data::{self, Source};
use crate::engine::Engine;
use crate::policy::LocalPolicy;
use crate::ranks::{self, Share};
use crate::recipe::RolloutRecipe;
use crate::reward::{self, Answer, Rewards, Scored};
use crate::seeds::{Purpose, seed};
use crate::turns::{Episode, Heard, Turns, continuation};
use crate::view::View;
use crate::{Error, Result};
use foveate_datasets::{Grade, Outcome, Sample, grade};
use foveate_objectives as objectives;
use foveate_ranks::Collective;
use foveate_vision::grounding::note;
use foveate_vision::pack::Continuation;
use foveate_vision::processor::Prompt;
use image::RgbImage;
use serde_json::{Value, json};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One answer.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Its tokens, the closing one included; of all its turns, without what was heard between them.
    pub ids: Vec<u32>,
    /// Its text without special tokens; of the last turn, which is the answer.
    pub text: String,
    /// What the sampler thought of each token at the sampling temperature, NaN for one that was not sampled;
    /// empty for an answer that was not sampled at all.
    pub logp_tempered: Vec<f32>,
    /// Whether it ended by itself, in every turn.
    pub finished: bool,
    /// What was heard between its turns; empty for an answer of one turn.
    pub heard: Vec<Heard>,
    /// How many of its tokens, from the first, give no gradient.
    pub untrained: usize,
    /// The task's verdict.
    pub grade: Grade,
    /// Its rewards.
    pub scored: Scored,
}

/// A question with its answers.
#[derive(Debug, Clone)]
pub struct Group {
    /// The question.
    pub sample: Sample,
    /// The question as the model reads it.
    pub prompt: Arc<Prompt>,
    /// The question about corrupted views, by name.
    pub views: Vec<(String, Arc<Prompt>)>,
    /// The answers.
    pub rollouts: Vec<Rollout>,
}

/// The groups of one step and what they cost.
#[derive(Debug, Default)]
pub struct Batch {
    /// The groups that are trained on, those of this rank.
    pub groups: Vec<Group>,
    /// Which of all ranks' groups they are.
    pub share: Share,
    /// Questions asked for them, on all ranks.
    pub asked: usize,
    /// Rounds of asking.
    pub rounds: usize,
    /// Of those asked, how many every answer of the group was right to.
    pub right: usize,
    /// Of those asked, how many no answer of the group was right to.
    pub wrong: usize,
}

impl Batch {
    /// Counts a round of asking, on all ranks.
    fn count(&mut self, groups: &[Group], share: &Share, ranks: &dyn Collective) -> Result<()> {
        let all = |group: &&Group| group.right() == group.rollouts.len();
        let right = groups.iter().filter(all).count();
        let wrong = groups.iter().filter(|group| group.right() == 0).count();
        for (right, wrong) in ranks::all(ranks, (right, wrong))? {
            self.right += right;
            self.wrong += wrong;
        }
        self.asked += share.of;
        self.rounds += 1;
        Ok(())
    }
}

impl Rollout {
    /// As a pack lays it.
    pub fn continuation(&self) -> Continuation {
        continuation(&self.ids, &self.heard)
    }

    /// Its tokens, with those it heard.
    pub fn tokens(&self) -> usize {
        self.ids.len() + self.heard.iter().map(|heard| heard.prompt.input_ids.len()).sum::<usize>()
    }

    /// Its turns before the answer, for `completions.jsonl`.
    fn turns(&self) -> Vec<Value> {
        let starts = std::iter::once(0).chain(self.heard.iter().map(|heard| heard.after));
        let line = |(start, heard): (usize, &Heard)| {
            let mut line = note(&heard.reply, &heard.region);
            line["tokens"] = json!(heard.after - start);
            line["heard"] = json!(heard.prompt.input_ids.len());
            line
        };
        starts.zip(&self.heard).map(line).collect()
    }
}

impl Group {
    /// How many of its answers are right.
    pub fn right(&self) -> usize {
        self.rollouts.iter().filter(|r| r.grade.outcome == Outcome::Right).count()
    }

    /// Whether some of its answers are right and some are not.
    pub fn is_mixed(&self) -> bool {
        (1..self.rollouts.len()).contains(&self.right())
    }

    /// What its answers came to, for the advantage.
    pub fn outcomes(&self) -> Vec<objectives::Outcome> {
        let outcome = |r: &Rollout| objectives::Outcome {
            reward: r.scored.total,
            tokens: r.ids.len(),
            correct: r.grade.outcome == Outcome::Right,
            value: reward::signed(grade::zone(&r.text)).unwrap_or(f64::NAN),
            answer: self.distinct(r),
            logp: mean_logp(&r.logp_tempered),
        };
        self.rollouts.iter().map(outcome).collect()
    }

    /// Which of the group's distinct answers `rollout` gives: the first rollout that gives it.
    fn distinct(&self, rollout: &Rollout) -> usize {
        let same = |other: &Rollout| other.grade.parsed == rollout.grade.parsed;
        self.rollouts.iter().position(same).unwrap_or_default()
    }

    /// Lines for `completions.jsonl`.
    pub fn lines(&self, step: u64, advantages: &[f64]) -> Vec<Value> {
        let line = |(index, (rollout, advantage)): (usize, (&Rollout, &f64))| {
            let parts: serde_json::Map<_, _> =
                rollout.scored.parts.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
            let mut line = json!({
                "step": step, "id": self.sample.id, "index": index, "question": self.sample.problem,
                "answer": self.sample.answer, "completion": rollout.text, "tokens": rollout.ids.len(),
                "finished": rollout.finished, "outcome": rollout.grade.outcome,
                "reward": rollout.scored.total, "rewards": parts, "advantage": advantage,
            });
            if !rollout.heard.is_empty() {
                line["turns"] = rollout.turns().into();
            }
            line
        };
        self.rollouts.iter().zip(advantages).enumerate().map(line).collect()
    }
}

/// The mean over the tokens that were sampled; NaN where none was.
fn mean_logp(logp: &[f32]) -> f64 {
    let sampled = logp.iter().filter(|logp| !logp.is_nan());
    f64::from(sampled.clone().sum::<f32>()) / sampled.count() as f64
}

/// What answers the questions of step `step` (from 0) of the stage.
#[derive(Debug)]
pub struct Roller<'a> {
    /// The model that is trained.
    pub policy: &'a LocalPolicy,
    /// Who samples its answers.
    pub engine: &'a dyn Engine,
    /// The questions.
    pub source: &'a Source,
    /// Its images, where several questions of each are asked.
    pub images: &'a [Range<usize>],
    /// How answers of several turns are asked for.
    pub turns: Option<&'a Turns>,
    /// What answers are worth.
    pub rewards: &'a Rewards,
    /// Corruptions of the images, for terms to read.
    pub views: &'a [View],
    /// How many, how long.
    pub recipe: &'a RolloutRecipe,
    /// The run's seed.
    pub run_seed: u64,
    /// Set where nobody waits for the answers any more.
    pub stop: &'a AtomicBool,
    /// Who else asks: each its share of the questions.
    pub ranks: &'a dyn Collective,
}

impl Batch {
    /// Adds those groups of a round that are mixed, as long as there are under `n` on all ranks.
    fn keep_mixed(
        &mut self,
        groups: Vec<Group>,
        share: &Share,
        n: usize,
        ranks: &dyn Collective,
    ) -> Result<()> {
        let mixed = share.places.iter().copied().zip(groups.iter().map(Group::is_mixed));
        let mixed = ranks::in_order(ranks, mixed.collect())?;
        // The place of each group of the round among those that are kept.
        let mut next = self.share.of;
        let place = |&mixed: &bool| {
            let place = (mixed && next < n).then_some(next);
            next += usize::from(place.is_some());
            place
        };
        let places: Vec<Option<usize>> = mixed.iter().map(place).collect();
        for (group, &place) in groups.into_iter().zip(&share.places) {
            if let Some(place) = places[place] {
                self.groups.push(group);
                self.share.places.push(place);
            }
        }
        self.share.of = next;
        Ok(())
    }
}

impl Roller<'_> {
    /// The groups of one step.
    ///
    /// With more than one round (DAPO's dynamic sampling) a group whose answers are all right or all wrong
    /// is dropped, and more questions are asked until there are enough groups or no rounds left. Accuracy
    /// decides, not the reward: a format's noise would keep dead groups alive. If nothing is kept, the
    /// first round is.
    ///
    /// # Errors
    /// Broken data, or those of the model.
    pub fn groups(&self, step: u64) -> Result<Batch> {
        let (n, rounds) = (self.recipe.prompts, self.recipe.rounds as u64);
        let mut batch = Batch::default();
        if rounds == 1 {
            let (groups, share) = self.round(step)?;
            batch.count(&groups, &share, self.ranks)?;
            return Ok(Batch { groups, share, ..batch });
        }
        let mut first = None;
        while batch.share.of < n && (batch.rounds as u64) < rounds {
            let (groups, share) = self.round(step * rounds + batch.rounds as u64)?;
            batch.count(&groups, &share, self.ranks)?;
            first.get_or_insert_with(|| (groups.clone(), share.clone()));
            batch.keep_mixed(groups, &share, n, self.ranks)?;
        }
        if let (0, Some((groups, share))) = (batch.share.of, first) {
            (batch.groups, batch.share) = (groups, share);
        }
        Ok(batch)
    }

    /// This rank's groups of one round; `step` numbers the rounds of the run.
    fn round(&self, step: u64) -> Result<(Vec<Group>, Share)> {
        let (n, questions) = (self.recipe.prompts, self.recipe.questions);
        let indices = if questions > 1 {
            let images = (n.div_ceil(questions), questions);
            self.source.about_images(self.images, images, |_| true, Purpose::Order, step)?.concat()
        } else {
            self.source.shuffled(step * n as u64..(step + 1) * n as u64)
        };
        let units: Vec<_> = self.source.about(&indices).into_iter().map(<[usize]>::to_vec).collect();
        let (indices, share) = Share::deal(self.ranks, &units);
        // The place too: an epoch shorter than a batch asks one question twice in a step.
        let place = |(&place, &index): (&usize, &usize)| {
            seed(self.run_seed, Purpose::Rollout, step, index as u64, place as u64)
        };
        let seeds: Vec<u64> = share.places.iter().zip(&indices).map(place).collect();
        let Self { policy, engine, source, turns, stop, .. } = *self;
        let asker = Asker { policy, engine, source, turns, sampling: &policy.sampling(self.recipe), stop };
        let groups = asker.ask(&indices, (self.recipe.group, &seeds), |image, _| image.clone())?;
        let groups = groups.into_iter().map(|(sample, prompt, all)| self.group(sample, prompt, all));
        let mut groups = groups.collect::<Result<Vec<_>>>()?;
        let runs = share.runs(self.source, &indices);
        for view in self.views {
            runs.iter()
                .try_for_each(|run| self.add(view, step, &indices[run.clone()], &mut groups[run.clone()]))?;
        }
        Ok((groups, share))
    }

    /// Asks every group's question about `view` too.
    fn add(&self, view: &View, step: u64, indices: &[usize], groups: &mut [Group]) -> Result<()> {
        let change = |image: &RgbImage, sample: usize| view.of(image, step, sample);
        let asked = data::questions(&self.policy.processor, self.source, indices, change)?;
        for (group, prompt) in groups.iter_mut().zip(asked.into_iter().map(|question| question.prompt)) {
            let (expected, found) = (group.prompt.input_ids.len(), prompt.input_ids.len());
            if expected != found {
                return Err(Error::Size { name: format!("view {}", view.name), expected, found });
            }
            group.views.push((view.name.clone(), prompt));
        }
        Ok(())
    }

    fn group(&self, sample: Sample, prompt: Arc<Prompt>, answers: Vec<Episode>) -> Result<Group> {
        let rollout = |episode: Episode| -> Result<Rollout> {
            let Episode { ids, logp_tempered, heard, text, finished } = episode;
            let grade = self.source.task().grade(&sample, &text);
            let region = heard.iter().rev().find_map(|heard| heard.region.ok());
            let scored = self.rewards.score(&Answer {
                sample: &sample,
                text: &text,
                tokens: ids.len(),
                finished,
                grade: &grade,
                region: region.map(|region| region.original.map(f64::from)),
            })?;
            let untrained = self.turns.map_or(0, |turns| turns.untrained(&heard));
            Ok(Rollout { ids, text, logp_tempered, finished, heard, untrained, grade, scored })
        };
        let rollouts = answers.into_iter().map(rollout).collect::<Result<_>>()?;
        Ok(Group { sample, prompt, views: vec![], rollouts })
    }
}
