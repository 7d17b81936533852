//! A run, from top to bottom.
//!
//! Left out on purpose: a controller, callbacks, queues. One process does one thing after another; what
//! takes long tells the [`Observer`], and the stop flag is looked at between steps. Several processes do the
//! same, each its share ([`crate::ranks`]).

use crate::checkpoint::{self, Progress};
use crate::data::Source;
use crate::engine::{Engine, Reached};
use crate::evaluate::Evaluation;
use crate::hacking;
use crate::log::{self, Events, JsonLines, Metrics};
use crate::observer::{Observer, Stage};
use crate::optim::{AdamW, AdamWConfig, Complete, Schedule, ScheduleKind, Slot};
use crate::policy::LocalPolicy;
use crate::ranks::{self, Reducer};
use crate::recipe::{self, Recipe};
use crate::reward::{Reward, Rewards};
use crate::run_dir::RunDir;
use crate::seeds::{Purpose, seed};
use crate::step::StepResult;
use crate::turns::Turns;
use crate::view::View;
use crate::warmup::{self, Lessons};
use crate::{Error, Result};
use foveate_datasets::Split;
use foveate_objectives::{Objective, Signal};
use foveate_ranks::{Collective, One};
use foveate_vision::models::{Parameter, Part, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::tiny::{self, TinySpec};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
    lessons: Lessons,
    pub(crate) turns: Option<Turns>,
    pub(crate) optim: AdamW,
    pub(crate) ranks: Arc<dyn Collective>,
    pub(crate) reducer: Option<Reducer>,
    pub(crate) progress: Progress,
    pub(crate) sink: GradSink,
    pub(crate) evaluations: Vec<Evaluation>,
    metrics: JsonLines,
    pub(crate) completions: JsonLines,
    pub(crate) answers: JsonLines,
    pub(crate) watch: Option<hacking::Watch>,
    events: Events,
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
    /// Starts a run: checks the recipe, reads model and data, makes the run directory.
    ///
    /// # Errors
    /// Input that is at fault, before anything is written; or a run that is there already.
    pub fn start(recipe: Recipe) -> Result<Self> {
        Self::start_among(recipe, Arc::new(One))
    }

    /// [`Trainer::start`] as one of `ranks`, all of which see the run directory and have the same recipe.
    ///
    /// # Errors
    /// As [`Trainer::start`], also where another rank fails.
    pub fn start_among(recipe: Recipe, ranks: Arc<dyn Collective>) -> Result<Self> {
        let start = || {
            let recipe = ranks::agreed(&*ranks, recipe)?;
            let text = toml::to_string(&recipe).map_err(|e| Error::run(&recipe.out, e))?;
            let objective = Objective::new(&recipe.objective, &recipe.term)?;
            let source = open_source(&recipe)?;
            let given = match recipe.model.tiny() {
                None => Some(prepared(read(recipe.model.dir(), &recipe)?, &recipe)?),
                Some(_) => None,
            };
            let engine = Reached::by(&recipe, &*ranks)?;
            recipe.model.placement()?;
            let run = ranks::first_on_rank_0(&*ranks, || match ranks.rank() {
                0 => RunDir::create(&recipe.out, &text),
                _ => RunDir::open(&recipe.out),
            })?;
            let policy = match given {
                Some(policy) => policy,
                None => prepared(first_policy(&run, &recipe, &*ranks)?, &recipe)?,
            };
            Self::assemble(
                recipe,
                (run, engine, ranks.clone()),
                policy,
                objective,
                source,
                Progress::default(),
            )
        };
        start().inspect_err(|e| ranks.abort(&e.to_string()))
    }

    /// Goes on with the run in `dir` from its latest checkpoint, with `overrides` on top of its recipe
    /// (more steps, for example).
    ///
    /// # Errors
    /// A directory without a run or a whole checkpoint.
    pub fn resume(dir: &Path, overrides: &[String]) -> Result<Self> {
        Self::resume_as(dir, Self::recorded(dir, overrides)?)
    }

    /// The recipe of the run in `dir`, with `overrides` on top.
    ///
    /// # Errors
    /// A directory without a run, or an override at fault.
    pub fn recorded(dir: &Path, overrides: &[String]) -> Result<Recipe> {
        recipe::from_file(&RunDir::open(dir)?.recipe(), overrides)
    }

    /// [`Trainer::resume`] with its recipe at hand.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub fn resume_as(dir: &Path, recipe: Recipe) -> Result<Self> {
        Self::resume_among(dir, recipe, Arc::new(One))
    }

    /// [`Trainer::resume_as`] as one of `ranks`, of which there may be more or fewer than wrote the checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::resume`], also where another rank fails.
    pub fn resume_among(dir: &Path, mut recipe: Recipe, ranks: Arc<dyn Collective>) -> Result<Self> {
        let run = RunDir::open(dir)?;
        recipe.out = dir.to_path_buf();
        Self::go_on(run, recipe, &ranks).inspect_err(|e| ranks.abort(&e.to_string()))
    }

    fn go_on(run: RunDir, recipe: Recipe, ranks: &Arc<dyn Collective>) -> Result<Self> {
        let recipe = ranks::agreed(&**ranks, recipe)?;
        let objective = Objective::new(&recipe.objective, &recipe.term)?;
        let source = open_source(&recipe)?;
        let engine = Reached::by(&recipe, &**ranks)?;
        let Some(latest) = run.latest()? else {
            let policy = prepared(first_policy(&run, &recipe, &**ranks)?, &recipe)?;
            let place = (run, engine, ranks.clone());
            return Self::assemble(recipe, place, policy, objective, source, Progress::default());
        };
        let progress = checkpoint::progress(&latest)?;
        if progress.seed != recipe.seed {
            let message = format!("was run with seed {}, but `seed` is {}", progress.seed, recipe.seed);
            return Err(Error::run(run.path(), message));
        }
        let mut policy;
        if recipe.model.adapts() {
            policy = first_policy(&run, &recipe, &**ranks)?;
            policy.model.load_adapter(&latest)?;
        } else {
            policy = read(&latest, &recipe)?;
        }
        policy.train(&recipe.model)?;
        let place = (run, engine, ranks.clone());
        let mut trainer = Self::assemble(recipe, place, policy, objective, source, progress)?;
        // At the first step of a stage the optimiser is new.
        if trainer.progress.step != trainer.recipe.warmup.steps {
            checkpoint::restore(&latest, &mut trainer.optim)?;
        }
        Ok(trainer)
    }

    fn assemble(
        recipe: Recipe,
        (run, engine, ranks): (RunDir, Reached, Arc<dyn Collective>),
        policy: LocalPolicy,
        objective: Objective,
        source: Source,
        progress: Progress,
    ) -> Result<Self> {
        let evaluations = recipe.eval.iter().map(|e| Evaluation::open(e, &recipe)).collect::<Result<_>>()?;
        let by_image = recipe.warmup.steps > 0 || recipe.rollout.questions > 1;
        let images = if by_image { source.images() } else { vec![] };
        let lessons = Lessons::new(&source, &images, &recipe.warmup.share, recipe.seed)?;
        let turns = recipe.rollout.turns.as_ref().map(|turns| Turns::new(turns, &policy)).transpose()?;
        let reducer = Reducer::new(&ranks, &recipe.ranks, &slots(&policy, &recipe));
        // Rank 0 writes, and drops what a run that was killed left behind, before others read.
        let writes = ranks.rank() == 0;
        let lines = |path: PathBuf| match writes {
            true => JsonLines::open(&path, progress.step),
            false => Ok(JsonLines::elsewhere()),
        };
        let mut trainer = Self {
            engine: engine.open(&run, (&policy, &source), recipe.rollout.temperature, &ranks)?,
            turns,
            rewards: Rewards::new(&recipe.reward)?,
            views: View::all(&recipe.view, recipe.seed)?,
            optim: optimiser(&policy, &recipe, reducer.as_ref())?,
            reducer,
            metrics: lines(run.metrics())?,
            completions: lines(run.completions())?,
            answers: lines(run.evaluations())?,
            watch: hacking::watch(&recipe.term),
            events: if writes { Events::create(run.path(), now())? } else { Events::elsewhere() },
            progress: Progress { seed: recipe.seed, ..progress },
            sink: GradSink::default(),
            reference: None,
            ranks,
            recipe,
            run,
            policy,
            objective,
            source,
            images,
            lessons,
            evaluations,
        };
        trainer.ranks.barrier()?;
        if let Some(watch) = &mut trainer.watch {
            let lines = log::lines(&trainer.run.metrics())?;
            let trained = lines.iter().filter(|line| line["stage"] == Stage::Train.name());
            trained.for_each(|line| watch.remember(|name| line[name].as_f64()));
        }
        if trainer.needs_reference() && trainer.run.reference().is_dir() {
            trainer.reference = Some(trainer.first_model()?);
        }
        // None writes what another has not read yet.
        trainer.ranks.barrier()?;
        Ok(trainer)
    }

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

    /// The first step of reinforcement learning: a new optimiser, and the model as it is now for terms to
    /// compare with.
    fn begin_training(&mut self) -> Result<()> {
        self.optim = optimiser(&self.policy, &self.recipe, self.reducer.as_ref())?;
        if self.needs_reference() && self.reference.is_none() {
            let dir = self.run.reference();
            ranks::first_on_rank_0(&*self.ranks, || match self.ranks.rank() {
                0 => self.run.whole(&dir, |dir| self.policy.save(dir)),
                _ => Ok(()),
            })?;
            self.reference = Some(self.first_model()?);
        }
        Ok(())
    }

    /// The model as it was when training began. One with an adapter shares the weights of the policy; an
    /// adapter that was new then changed nothing.
    fn first_model(&self) -> Result<VisionLanguageModel> {
        let dir = self.run.reference();
        if !self.recipe.model.adapts() {
            return Ok(LocalPolicy::load_on(&dir, &self.recipe.model.placement()?)?.model);
        }
        let mut model = self.policy.model.without_adapter();
        if self.recipe.warmup.steps > 0 || self.recipe.model.adapter.is_some() {
            model.load_adapter(&dir)?;
        }
        Ok(model)
    }

    fn needs_reference(&self) -> bool {
        let needs = self.objective.needs().into_iter().chain(self.objective.reward_needs());
        needs.into_iter().any(|s| matches!(s, Signal::Reference | Signal::ReferenceDivergence))
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
        self.metrics.append([&metrics.to_json(self.progress.step, stage.name())])?;
        self.events.scalars(now(), self.progress.step, metrics)
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

fn open_source(recipe: &Recipe) -> Result<Source> {
    let data = &recipe.data;
    let split = if data.split == Split::Test.name() { Split::Test } else { Split::Train };
    let source = Source::open(&data.task, data.files(), split, data.size, data.limit, recipe.seed)?;
    if data.balance { source.balanced() } else { Ok(source) }
}

/// What is trained.
fn slots(policy: &LocalPolicy, recipe: &Recipe) -> Vec<Slot> {
    let trainable = policy.model.parameters().iter().filter(|p| p.trainable());
    let slot = |p: &Parameter| Slot {
        lr_scale: if matches!(p.part, Part::Vision | Part::Merger) { recipe.optim.vision_lr } else { 1.0 },
        ..Slot::from(p)
    };
    trainable.map(slot).collect()
}

fn optimiser(policy: &LocalPolicy, recipe: &Recipe, reducer: Option<&Reducer>) -> Result<AdamW> {
    let o = &recipe.optim;
    let config = AdamWConfig {
        beta1: o.betas[0],
        beta2: o.betas[1],
        weight_decay: o.weight_decay,
        clip_norm: Some(o.clip_norm).filter(|&norm| norm > 0.0),
        ..AdamWConfig::default()
    };
    match reducer {
        Some(reducer) => AdamW::of_parts(slots(policy, recipe), reducer.parts(), config),
        None => AdamW::new(slots(policy, recipe), config),
    }
}

/// The policy with the adapter of the recipe, if it has one, and what is trained thawed.
fn prepared(mut policy: LocalPolicy, recipe: &Recipe) -> Result<LocalPolicy> {
    policy.adapt(&recipe.model, recipe.seed)?;
    policy.train(&recipe.model)?;
    Ok(policy)
}

/// A model directory, where and in which numbers the recipe says.
fn read(dir: &Path, recipe: &Recipe) -> Result<LocalPolicy> {
    LocalPolicy::load_on(dir, &recipe.model.placement()?)
}

/// The model as it is before the first step, without an adapter: read, or made once from the run's seed.
fn first_policy(run: &RunDir, recipe: &Recipe, ranks: &dyn Collective) -> Result<LocalPolicy> {
    let Some(spec) = recipe.model.tiny() else { return read(recipe.model.dir(), recipe) };
    ranks::first_on_rank_0(ranks, || {
        let dir = run.start();
        if !dir.is_dir() {
            let spec = TinySpec { seed: seed(recipe.seed, Purpose::Weights, 0, 0, 0), ..spec };
            run.whole(&dir, |dir| Ok(tiny::write(dir, &spec)?))?;
        }
        read(&dir, recipe)
    })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
