//! Questions answered by the policy, graded and rewarded.

use crate::data::{self, Source};
use crate::policy::LocalPolicy;
use crate::recipe::RolloutRecipe;
use crate::reward::{self, Answer, Rewards, Scored};
use crate::seeds::{Purpose, seed};
use crate::view::View;
use crate::{Error, Result};
use foveate_datasets::{Grade, Outcome, Sample, grade};
use foveate_objectives as objectives;
use foveate_vision::generate::{Generated, Request, Stop, generate};
use foveate_vision::processor::Prompt;
use image::RgbImage;
use serde_json::{Value, json};
use std::ops::Range;
use std::sync::Arc;

/// One answer.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Its tokens, the closing one included.
    pub ids: Vec<u32>,
    /// Its text without special tokens.
    pub text: String,
    /// What the sampler thought of each token at the sampling temperature; empty for an answer that was
    /// not sampled.
    pub logp_tempered: Vec<f32>,
    /// Whether it ended by itself.
    pub finished: bool,
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
#[derive(Debug)]
pub struct Batch {
    /// The groups that are trained on.
    pub groups: Vec<Group>,
    /// Questions asked for them.
    pub asked: usize,
    /// Rounds of asking.
    pub rounds: usize,
}

impl Group {
    /// Whether some of its answers are right and some are not.
    pub fn is_mixed(&self) -> bool {
        let right = self.rollouts.iter().filter(|r| r.grade.outcome == Outcome::Right).count();
        right > 0 && right < self.rollouts.len()
    }

    /// What its answers came to, for the advantage.
    pub fn outcomes(&self) -> Vec<objectives::Outcome> {
        let outcome = |r: &Rollout| objectives::Outcome {
            reward: r.scored.total,
            tokens: r.ids.len(),
            correct: r.grade.outcome == Outcome::Right,
            value: reward::signed(grade::zone(&r.text)).unwrap_or(f64::NAN),
            answer: self.distinct(r),
            logp: f64::from(r.logp_tempered.iter().sum::<f32>()) / r.logp_tempered.len() as f64,
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
            json!({
                "step": step, "id": self.sample.id, "index": index, "question": self.sample.problem,
                "answer": self.sample.answer, "completion": rollout.text, "tokens": rollout.ids.len(),
                "finished": rollout.finished, "outcome": rollout.grade.outcome,
                "reward": rollout.scored.total, "rewards": parts, "advantage": advantage,
            })
        };
        self.rollouts.iter().zip(advantages).enumerate().map(line).collect()
    }
}

/// What answers the questions of step `step` (from 0) of the stage.
#[derive(Debug)]
pub struct Roller<'a> {
    /// The model that answers.
    pub policy: &'a LocalPolicy,
    /// The questions.
    pub source: &'a Source,
    /// Its images, where several questions of each are asked.
    pub images: &'a [Range<usize>],
    /// What answers are worth.
    pub rewards: &'a Rewards,
    /// Corruptions of the images, for terms to read.
    pub views: &'a [View],
    /// How many, how long.
    pub recipe: &'a RolloutRecipe,
    /// The run's seed.
    pub run_seed: u64,
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
        if rounds == 1 {
            return Ok(Batch { groups: self.round(step)?, asked: n, rounds: 1 });
        }
        let mut batch = Batch { groups: vec![], asked: 0, rounds: 0 };
        let mut first = None;
        while batch.groups.len() < n && (batch.rounds as u64) < rounds {
            let groups = self.round(step * rounds + batch.rounds as u64)?;
            (batch.asked, batch.rounds) = (batch.asked + groups.len(), batch.rounds + 1);
            first.get_or_insert_with(|| groups.clone());
            batch.groups.extend(groups.into_iter().filter(Group::is_mixed));
        }
        batch.groups.truncate(n);
        if batch.groups.is_empty() {
            batch.groups = first.unwrap_or_default();
        }
        Ok(batch)
    }

    /// The groups of one round; `step` numbers the rounds of the run.
    fn round(&self, step: u64) -> Result<Vec<Group>> {
        let (n, questions) = (self.recipe.prompts, self.recipe.questions);
        let indices = if questions > 1 {
            let images = (n.div_ceil(questions), questions);
            data::about_images(self.images, images, self.run_seed, Purpose::Order, step).concat()
        } else {
            self.source.shuffled(step * n as u64..(step + 1) * n as u64)
        };
        let processor = &self.policy.processor;
        let asked = data::prompts(processor, self.source, &indices, |image, _| image.clone())?;
        let request = |((place, &index), (_, prompt)): ((usize, &usize), &(Sample, Arc<Prompt>))| Request {
            prompt: prompt.clone(),
            n: self.recipe.group,
            // The place too: an epoch shorter than a batch asks one question twice in a step.
            seed: seed(self.run_seed, Purpose::Rollout, step, index as u64, place as u64),
        };
        let requests: Vec<_> = indices.iter().enumerate().zip(&asked).map(request).collect();
        let answers = generate(&self.policy.model, &requests, &self.policy.sampling(self.recipe))?;
        let asked = asked.into_iter().zip(answers);
        let groups = asked.map(|((sample, prompt), all)| self.group(sample, prompt, all));
        let mut groups = groups.collect::<Result<Vec<_>>>()?;
        self.views.iter().try_for_each(|view| self.add(view, step, &indices, &mut groups))?;
        Ok(groups)
    }

    /// Asks every group's question about `view` too.
    fn add(&self, view: &View, step: u64, indices: &[usize], groups: &mut [Group]) -> Result<()> {
        let change = |image: &RgbImage, sample: usize| view.of(image, step, sample);
        let prompts = data::prompts(&self.policy.processor, self.source, indices, change)?;
        for (group, (_, prompt)) in groups.iter_mut().zip(prompts) {
            let (expected, found) = (group.prompt.input_ids.len(), prompt.input_ids.len());
            if expected != found {
                return Err(Error::Size { name: format!("view {}", view.name), expected, found });
            }
            group.views.push((view.name.clone(), prompt));
        }
        Ok(())
    }

    fn group(&self, sample: Sample, prompt: Arc<Prompt>, answers: Vec<Generated>) -> Result<Group> {
        let rollout = |answer: Generated| -> Result<Rollout> {
            let text = self.policy.text(&answer.ids)?;
            let grade = self.source.task().grade(&sample, &text);
            let finished = answer.stop == Stop::Stop;
            let scored = self.rewards.score(&Answer {
                sample: &sample,
                text: &text,
                tokens: answer.ids.len(),
                finished,
                grade: &grade,
            })?;
            Ok(Rollout {
                ids: answer.ids,
                text,
                logp_tempered: answer.logp_tempered,
                finished,
                grade,
                scored,
            })
        };
        let rollouts = answers.into_iter().map(rollout).collect::<Result<_>>()?;
        Ok(Group { sample, prompt, views: vec![], rollouts })
    }
}
