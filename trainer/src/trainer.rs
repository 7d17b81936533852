//! A run, from top to bottom.
//!
//! Left out on purpose: a controller, callbacks, queues. One process does one thing after another; what
//! takes long tells the [`Observer`], and the stop flag is looked at between steps. Several processes do the
//! same, each its share ([`crate::ranks`]).

use crate::checkpoint::{self, Progress};
use crate::data::Source;
use crate::engine::Engine;
use crate::evaluate::Evaluation;
use crate::hacking;
use crate::log::{self, Logs, Metrics};
use crate::observer::{Observer, Stage};
use crate::optim::{AdamW, Complete, Schedule, ScheduleKind};
use crate::policy::LocalPolicy;
use crate::ranks::{self, Reducer};
use crate::recipe::Recipe;
use crate::reward::{Reward, Rewards};
use crate::run_dir::RunDir;
use crate::step::StepResult;
use crate::turns::Turns;
use crate::view::View;
use crate::warmup::{self, Lessons};
use crate::{Error, Result};
use foveate_objectives::Objective;
use foveate_ranks::Collective;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::nn::GradSink;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A run that is open.
#[derive(Debug)]
pub struct Trainer {
    pub(crate) recipe: Recipe,
    pub(crate) run: RunDir,
    pub(crate) policy: LocalPolicy,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) reference: Option<VisionLanguageModel>,
    pub(crate) objective: Objective,
    pub(crate) rewards: Rewards,
    pub(crate) views: Vec<View>,
    pub(crate) source: Source,
    pub(crate) images: Vec<Range<usize>>,
    pub(crate) lessons: Lessons,
    pub(crate) turns: Option<Turns>,
    pub(crate) optim: AdamW,
    pub(crate) ranks: Arc<dyn Collective>,
    pub(crate) reducer: Option<Reducer>,
    pub(crate) progress: Progress,
    pub(crate) sink: GradSink,
    pub(crate) evaluations: Vec<Evaluation>,
    pub(crate) watch: Option<hacking::Watch>,
    pub(crate) logs: Logs,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Steps done.
    pub step: u64,
    /// Whether it was told to stop before its end.
    pub interrupted: bool,
    /// The last checkpoint, a Hugging Face model directory.
    pub checkpoint: PathBuf,
}

impl Trainer {
    /// The recipe that is followed.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Adds a reward of the program's own to those of the recipe. The recipe does not know it: a program
    /// that resumes its run adds it again.
    pub fn add_reward(&mut self, weight: f64, reward: Box<dyn Reward>) {
        self.rewards.push(weight, reward);
    }

    /// The ranks of the run.
    pub fn ranks(&self) -> &Arc<dyn Collective> {
        &self.ranks
    }

    /// The model as it is now.
    pub fn policy(&self) -> &LocalPolicy {
        &self.policy
    }

    /// Runs to the end, or until `stop` is set: then the step is finished, a checkpoint written, and the
    /// run left.
    ///
    /// # Errors
    /// Those of data, model and disk; [`Error::NotFinite`] after too many lost updates.
    pub fn run(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Finished> {
        self.walk(stop, observer).inspect_err(|e| self.ranks.abort(&e.to_string()))
    }

    fn walk(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Finished> {
        let (warmup, total) = (self.recipe.warmup.steps, self.recipe.warmup.steps + self.recipe.train.steps);
        if self.progress.step == 0 {
            self.begin(observer)?;
        }
        self.announce(observer);
        while self.progress.step < total && !self.told_to_stop(stop)? {
            if self.progress.step == warmup {
                self.begin_training()?;
                self.announce(observer);
            }
            let (clock, stage) = (Instant::now(), self.stage());
            let result = match stage {
                Stage::Train => self.train_step(stop, observer),
                _ => self.warmup_step(),
            };
            let StepResult { mut metrics, lost } = match result {
                Ok(result) => result,
                Err(Error::Stopped) => break,
                Err(error) => return Err(self.leave(error, observer)),
            };
            self.progress.step += 1;
            self.lose(lost, observer)?;
            metrics.put("updates/skipped", self.progress.skipped as f64);
            metrics.put("time/step_s", clock.elapsed().as_secs_f64());
            let mut improved = false;
            if self.due(self.recipe.train.eval_every, stage == Stage::Train) {
                metrics.extend(self.evaluate(observer)?);
                improved = self.improve(&metrics);
            }
            let hacked = if stage == Stage::Train { self.watch_step(&mut metrics, observer) } else { Ok(()) };
            self.record(stage, &metrics)?;
            observer.step(stage, self.progress.step, &metrics);
            let leaves = self.told_to_stop(stop)? || hacked.is_err();
            if self.due(self.recipe.train.checkpoint_every, true) || improved || leaves {
                self.checkpoint(observer)?;
            }
            hacked?;
        }
        self.finish(total, observer)
    }

    /// What the steps before a server's failure have learnt is kept.
    fn leave(&self, error: Error, observer: &mut dyn Observer) -> Error {
        let kept = matches!(error, Error::Server { .. } | Error::Stale { .. }) && self.progress.step > 0;
        match kept.then(|| self.checkpoint(observer)) {
            Some(Err(worse)) => worse,
            _ => error,
        }
    }

    /// Ranks hear of a signal at different moments: they stop together, when one has.
    fn told_to_stop(&self, stop: &AtomicBool) -> Result<bool> {
        ranks::any(&*self.ranks, stop.load(Ordering::Relaxed))
    }

    fn finish(&mut self, total: u64, observer: &mut dyn Observer) -> Result<Finished> {
        let checkpoint = match self.run.latest()? {
            Some(dir) if checkpoint::progress(&dir)?.step == self.progress.step => dir,
            _ => self.checkpoint(observer)?,
        };
        let step = self.progress.step;
        Ok(Finished { step, interrupted: step < total, checkpoint })
    }

    /// The stage of the next step.
    fn stage(&self) -> Stage {
        if self.progress.step < self.recipe.warmup.steps { Stage::WarmUp } else { Stage::Train }
    }

    fn announce(&self, observer: &mut dyn Observer) {
        let (step, warmup) = (self.progress.step, self.recipe.warmup.steps);
        match self.stage() {
            Stage::Train => observer.stage(Stage::Train, step - warmup, self.recipe.train.steps),
            _ => observer.stage(Stage::WarmUp, step, warmup),
        }
    }

    /// What there is to measure before the first step.
    fn begin(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let metrics = self.evaluate(observer)?;
        if metrics.iter().next().is_some() {
            self.record(Stage::Start, &metrics)?;
            observer.step(Stage::Start, 0, &metrics);
        }
        Ok(())
    }

    /// Whether something happens now that happens at the end of each stage and, where it is `between`,
    /// every `every` steps of a stage (0: never).
    fn due(&self, every: u64, between: bool) -> bool {
        let (step, warmup) = (self.progress.step, self.recipe.warmup.steps);
        let end = step == warmup || step == warmup + self.recipe.train.steps;
        let of_stage = if step < warmup { step } else { step - warmup };
        end || (between && every > 0 && of_stage % every == 0)
    }

    fn record(&mut self, stage: Stage, metrics: &Metrics) -> Result<()> {
        self.logs.metrics.append([&metrics.to_json(self.progress.step, stage.name())])?;
        self.logs.events.scalars(log::now(), self.progress.step, metrics)
    }

    fn checkpoint(&self, observer: &mut dyn Observer) -> Result<PathBuf> {
        let complete = |slot: usize, values: &mut [f32]| {
            self.reducer.as_ref().map_or(Ok(()), |reducer| reducer.complete(slot, values))
        };
        if self.ranks.rank() > 0 {
            self.optim.give(&complete)?;
            self.ranks.barrier()?;
            let latest = self.run.latest()?;
            return latest.ok_or_else(|| Error::run(self.run.path(), "should hold a checkpoint of rank 0"));
        }
        let optim: (&AdamW, Complete<'_>) = (&self.optim, &complete);
        let fill = |dir: &Path| checkpoint::write(dir, &self.policy, optim, &self.progress);
        let best = self.progress.best.map(|best| best.step);
        let dir = self.run.checkpoint(self.progress.step, self.recipe.train.keep, best, fill)?;
        self.ranks.barrier()?;
        observer.checkpoint(self.progress.step, &dir);
        Ok(dir)
    }

    fn lose(&mut self, lost: u64, observer: &mut dyn Observer) -> Result<()> {
        self.progress.skipped += lost;
        let (skipped, max) = (self.progress.skipped, self.recipe.optim.max_skipped);
        if lost > 0 {
            let dumps = self.run.dumps();
            observer.note(&format!("an update was not finite and was skipped; see {}", dumps.display()));
            if skipped > max {
                return Err(Error::NotFinite { skipped, max, dumps });
            }
        }
        Ok(())
    }

    /// The learning rate of update `update` (from 0) of the current stage.
    pub(crate) fn lr(&self, update: u64) -> f64 {
        let (o, w, t) = (&self.recipe.optim, &self.recipe.warmup, &self.recipe.train);
        let schedule = match self.stage() {
            Stage::Train => Schedule {
                kind: o.schedule,
                peak: o.lr,
                floor: o.floor,
                warmup: o.warmup,
                total: t.steps * o.updates as u64,
            },
            _ => Schedule {
                kind: ScheduleKind::Cosine,
                peak: w.lr,
                floor: w.floor,
                warmup: w.steps / 20,
                total: w.steps,
            },
        };
        schedule.at(update)
    }

    fn warmup_step(&mut self) -> Result<StepResult> {
        let step = self.progress.step;
        let (recipe, turns) = (&self.recipe.warmup, self.turns.as_ref());
        let when = (step, self.ranks.as_ref());
        let (groups, share) = self.lessons.groups(&self.policy, &self.source, turns, recipe, when)?;
        let credits: Vec<Vec<f64>> = groups.iter().map(|g| vec![1.0; g.rollouts.len()]).collect();
        let objective = warmup::objective()?;
        self.learn(&objective, 1.0, (&groups, &share), &credits, 1, step)
    }
}
