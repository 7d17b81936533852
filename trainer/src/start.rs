//! How a run comes to be open: new, or where it was left.
//!
//! Decides in what order things are looked at, so that what is at fault is said before anything is written,
//! and what of a run is made once and read again later. Knows no step.

use crate::checkpoint::{self, Progress};
use crate::data::Source;
use crate::engine::Reached;
use crate::evaluate::Evaluation;
use crate::hacking;
use crate::log::{self, Logs};
use crate::observer::Stage;
use crate::optim::{AdamW, AdamWConfig, Slot};
use crate::policy::LocalPolicy;
use crate::ranks::{self, Reducer};
use crate::recipe::{self, Recipe};
use crate::reward::Rewards;
use crate::run_dir::RunDir;
use crate::seeds::{Purpose, seed};
use crate::trainer::Trainer;
use crate::turns::Turns;
use crate::view::View;
use crate::warmup::Lessons;
use crate::{Error, Result};
use foveate_datasets::Split;
use foveate_objectives::{Objective, Signal};
use foveate_ranks::{Collective, One};
use foveate_vision::models::{Parameter, Part, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::tiny::{self, TinySpec};
use std::path::Path;
use std::sync::Arc;

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
        let mut trainer = Self {
            engine: engine.open(&run, (&policy, &source), recipe.rollout.temperature, &ranks)?,
            turns,
            rewards: Rewards::new(&recipe.reward)?,
            views: View::all(&recipe.view, recipe.seed)?,
            optim: optimiser(&policy, &recipe, reducer.as_ref())?,
            reducer,
            watch: hacking::watch(&recipe.term),
            logs: Logs::open(&run, progress.step, ranks.rank() == 0)?,
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

    /// The first step of reinforcement learning: a new optimiser, and the model as it is now for terms to
    /// compare with.
    pub(crate) fn begin_training(&mut self) -> Result<()> {
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
