//! One step of reinforcement learning: rollouts, rewards, credits, packs, updates.

use crate::correlation::correlations;
use crate::log::{Metrics, moments};
use crate::micro::{self, Micro};
use crate::observer::Observer;
use crate::rollout::{Group, Roller};
use crate::seeds::{Purpose, seed};
use crate::trainer::Trainer;
use crate::turns::measure;
use crate::update::{self, Updater};
use crate::view::picked;
use crate::{Error, Result};
use foveate_datasets::{Outcome as Verdict, grade};
use foveate_objectives::{Objective, Outcome, Signal};
use serde_json::json;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What a step came to.
#[derive(Debug)]
pub(crate) struct StepResult {
    pub metrics: Metrics,
    /// Updates that were not finite.
    pub lost: u64,
}

impl Trainer {
    pub(crate) fn train_step(
        &mut self,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<StepResult> {
        let step = self.progress.step - self.recipe.warmup.steps;
        self.engine.follow(&self.policy, self.progress.step, stop)?;
        let clock = Instant::now();
        let mut batch = Roller {
            policy: &self.policy,
            engine: self.engine.as_ref(),
            source: &self.source,
            images: &self.images,
            turns: self.turns.as_ref(),
            rewards: &self.rewards,
            views: &self.views,
            recipe: &self.recipe.rollout,
            run_seed: self.recipe.seed,
            stop,
        }
        .groups(step)?;
        self.progress.samples += batch.asked as u64;
        let rollout_s = clock.elapsed().as_secs_f64();
        observer.sampled(self.progress.step + 1, &mut batch.groups);
        let clock = Instant::now();
        let StepResult { mut metrics, lost } = self.learn_of(&batch.groups, step)?;
        metrics.put("groups/asked", batch.asked as f64);
        metrics.put("groups/rounds", batch.rounds as f64);
        metrics.put("groups/right", batch.right as f64 / batch.asked as f64);
        metrics.put("groups/wrong", batch.wrong as f64 / batch.asked as f64);
        metrics.put("time/rollout_s", rollout_s);
        metrics.extend(self.engine.report());
        metrics.put("time/update_s", clock.elapsed().as_secs_f64());
        Ok(StepResult { metrics, lost })
    }

    /// Credits of the answers of step `step`, and what is learnt of them.
    fn learn_of(&mut self, groups: &[Group], step: u64) -> Result<StepResult> {
        let mut objective = Objective::new(&self.recipe.objective, &self.recipe.term)?;
        objective.anneal(step as f64 / self.recipe.train.steps as f64);
        let mut outcomes: Vec<_> = groups.iter().map(Group::outcomes).collect();
        let penalties = self.penalise(&objective, groups, &mut outcomes)?;
        let credits = objective.advantages(&outcomes);
        let line = self.progress.step + 1;
        let logged = groups.iter().zip(&credits).take(self.recipe.train.completions);
        let lines: Vec<_> = logged.flat_map(|(group, credit)| group.lines(line, credit)).collect();
        self.completions.append(&lines)?;
        let mut metrics = describe(groups, &credits);
        self.check_sampled(&objective, groups)?;
        if self.turns.is_some() {
            let answers = groups.iter().flat_map(|g| g.rollouts.iter().map(|r| (&g.sample, &r.heard[..])));
            measure(&mut metrics, "", answers);
        }
        if let Some(weights) = objective.group_weights(&outcomes) {
            metrics.put("groups/weight", moments(&weights).0);
        }
        if !penalties.is_empty() {
            metrics.put("reward/penalty", moments(&penalties).0);
        }
        let broken = groups.iter().flat_map(|g| &g.rollouts).any(|r| r.scored.is_broken());
        if broken || penalties.iter().any(|p| !p.is_finite()) {
            // Statistics of a group with such a reward mean nothing: no update is made of the step.
            let credited: Vec<_> = groups.iter().zip(credits.iter().map(Vec::as_slice)).collect();
            self.dump(0, &[], &credited, &metrics)?;
            return Ok(StepResult { metrics, lost: 1 });
        }
        let (temperature, updates) = (self.recipe.rollout.temperature, self.recipe.optim.updates);
        let learnt = self.learn(&objective, temperature, groups, &credits, updates, step)?;
        metrics.extend(learnt.metrics);
        Ok(StepResult { metrics, lost: learnt.lost })
    }

    /// A correction without the sampler's log-probabilities would correct nothing and say nothing.
    fn check_sampled(&self, objective: &Objective, groups: &[Group]) -> Result<()> {
        let reads = objective.needs().contains(&Signal::Sampled);
        let known =
            groups.iter().flat_map(|g| &g.rollouts).any(|r| r.logp_tempered.iter().any(|p| !p.is_nan()));
        if !reads || known {
            return Ok(());
        }
        let message = format!(
            "should be absent: the server gives log-probabilities at temperature 1, but `rollout.temperature` is \
             {} (vLLM gives those of the temperature with --logprobs-mode processed_logprobs)",
            self.recipe.rollout.temperature
        );
        Err(Error::Recipe { place: "objective.correction".into(), message })
    }

    /// Takes off each outcome what the terms in the reward say; these penalties, if there are such terms.
    fn penalise(
        &self,
        objective: &Objective,
        groups: &[Group],
        outcomes: &mut [Vec<Outcome>],
    ) -> Result<Vec<f64>> {
        if !objective.has_penalties() {
            return Ok(vec![]);
        }
        let zeros: Vec<Vec<f64>> = groups.iter().map(|g| vec![0.0; g.rollouts.len()]).collect();
        let credited: Vec<(&Group, &[f64])> = groups.iter().zip(zeros.iter().map(Vec::as_slice)).collect();
        let (budget, mask_cut) = (self.recipe.optim.token_budget, self.recipe.rollout.mask_cut);
        let micros = micro::pack(&credited, budget, mask_cut)?;
        let updater = self.updater(objective, self.recipe.rollout.temperature, 0);
        let penalties = updater.penalties(&micros)?;
        let all = outcomes.iter_mut().flatten();
        all.zip(&penalties).for_each(|(outcome, penalty)| outcome.reward -= penalty);
        Ok(penalties)
    }

    fn updater<'a>(&'a self, objective: &'a Objective, temperature: f32, step: u64) -> Updater<'a> {
        Updater {
            model: &self.policy.model,
            reference: self.reference.as_ref(),
            objective,
            temperature,
            sink: &self.sink,
            picked: picked(&self.views, self.recipe.seed, step),
            lean: self.recipe.optim.lean_views,
        }
    }

    /// `updates` updates from `groups` with their credits; the metrics are means over the updates.
    pub(crate) fn learn(
        &mut self,
        objective: &Objective,
        temperature: f32,
        groups: &[Group],
        credits: &[Vec<f64>],
        updates: usize,
        step: u64,
    ) -> Result<StepResult> {
        let credited: Vec<(&Group, &[f64])> = groups.iter().zip(credits.iter().map(Vec::as_slice)).collect();
        let size = credited.len().div_ceil(updates);
        let budget = self.recipe.optim.token_budget;
        let minis = credited.chunks(size).map(|mini| micro::pack(mini, budget, self.recipe.rollout.mask_cut));
        let mut minis = minis.collect::<Result<Vec<_>>>()?;
        // The first update is made by the weights that sampled: its ratio is exactly 1.
        let updater = self.updater(objective, temperature, step);
        minis[1..].iter_mut().try_for_each(|mini| updater.remember(mini))?;
        let (mut all, mut lost) = (Vec::new(), 0);
        for (u, mini) in minis.iter().enumerate() {
            let lr = self.lr(step * updates as u64 + u as u64);
            let drops = seed(self.recipe.seed, Purpose::Dropout, self.progress.step, u as u64, 0);
            self.policy.model.set_dropout(Some(drops));
            let (finite, mut metrics) = self.updater(objective, temperature, step).gradients(mini)?;
            let update = update::apply(finite, &mut self.optim, &self.sink, lr, &mut metrics)?;
            if !update.applied {
                lost += 1;
                self.dump(u, mini, credited.chunks(size).nth(u).unwrap_or_default(), &metrics)?;
            }
            all.push(metrics);
        }
        Ok(StepResult { metrics: Metrics::over(&all), lost })
    }

    /// The batch of an update that was not finite, for whoever looks for the cause.
    fn dump(
        &self,
        update: usize,
        minis: &[Micro],
        groups: &[(&Group, &[f64])],
        metrics: &Metrics,
    ) -> Result<()> {
        let step = self.progress.step + 1;
        let dir = self.run.dumps();
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let path = dir.join(format!("step-{step:06}-{update}.json"));
        let ids = |group: &Group| group.rollouts.iter().map(|r| r.ids.clone()).collect::<Vec<_>>();
        let answers: Vec<_> = groups.iter().flat_map(|(group, credit)| group.lines(step, credit)).collect();
        let text = json!({
            "metrics": metrics.to_json(step, "dump"),
            "packs": minis.iter().map(|m| m.pack.ids_t.len()).collect::<Vec<_>>(),
            "prompt_ids": groups.iter().map(|(g, _)| g.prompt.input_ids.clone()).collect::<Vec<_>>(),
            "completion_ids": groups.iter().map(|(g, _)| ids(g)).collect::<Vec<_>>(),
            "answers": answers,
        });
        crate::run_dir::replace(&path, text.to_string().as_bytes())
    }
}

/// What the rollouts of a step came to.
fn describe(groups: &[Group], credits: &[Vec<f64>]) -> Metrics {
    let rollouts = || groups.iter().flat_map(|g| &g.rollouts);
    let n = rollouts().count().max(1) as f64;
    let share = |count: usize| count as f64 / n;
    let mut metrics = Metrics::default();
    let scored: Vec<f64> = rollouts().map(|r| r.scored.total).filter(|r| !r.is_nan()).collect();
    let (mean, std) = moments(&scored);
    metrics.put("reward/mean", mean);
    metrics.put("reward/std", std);
    let names = rollouts().next().map(|r| r.scored.parts.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (part, name) in names.unwrap_or_default().into_iter().enumerate() {
        let values: Vec<f64> = rollouts().filter_map(|r| r.scored.parts[part].1).collect();
        metrics.put(format!("reward/{name}"), moments(&values).0);
    }
    metrics.put("reward/unscored", share(rollouts().filter(|r| r.scored.total.is_nan()).count()));
    let of = |outcome: Verdict| rollouts().filter(|r| r.grade.outcome == outcome).count();
    metrics.put("accuracy", share(of(Verdict::Right)));
    metrics.put("unparsed", share(of(Verdict::Unparsed)));
    if let Some(pairs) = scores(groups) {
        metrics.extend(correlations("score", &pairs));
    }
    let silent = credits.iter().filter(|c| c.iter().all(|a| *a == 0.0)).count();
    metrics.put("groups/silent", silent as f64 / groups.len().max(1) as f64);
    let tokens: Vec<f64> = rollouts().map(|r| r.ids.len() as f64).collect();
    metrics.put("tokens/generated", tokens.iter().sum());
    metrics.put("length/mean", moments(&tokens).0);
    metrics.put("length/max", tokens.iter().copied().fold(0.0, f64::max));
    metrics.put("length/cut", share(rollouts().filter(|r| !r.finished).count()));
    metrics
}

/// What was said and what is true, where both are numbers; `None` where no answer is to be a number.
fn scores(groups: &[Group]) -> Option<Vec<(f64, f64)>> {
    let (mut pairs, mut numeric) = (Vec::new(), false);
    for group in groups {
        let Some(truth) = grade::number::parse(&group.sample.answer) else { continue };
        numeric = true;
        let said = group.outcomes().into_iter().map(|o| o.value);
        pairs.extend(said.filter(|v| v.is_finite()).map(|value| (value, truth)));
    }
    numeric.then_some(pairs)
}
