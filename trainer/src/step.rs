//! One step of reinforcement learning: rollouts, rewards, credits, packs, updates.

use crate::log::{Metrics, moments};
use crate::micro::{self, Micro};
use crate::observer::Observer;
use crate::ranks::{self, Share};
use crate::rollout::{Group, Roller};
use crate::seeds::{Purpose, seed};
use crate::told::{Told, describe};
use crate::trainer::Trainer;
use crate::turns::Looks;
use crate::update::{self, Updater};
use crate::view::picked;
use crate::{Error, Result};
use foveate_objectives::{Objective, Signal};
use serde_json::{Value, json};
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
            ranks: self.ranks.as_ref(),
        }
        .groups(step)?;
        self.progress.samples += batch.asked as u64;
        let rollout_s = clock.elapsed().as_secs_f64();
        observer.sampled(self.progress.step + 1, &mut batch.groups);
        let clock = Instant::now();
        let StepResult { mut metrics, lost } = self.learn_of(&batch.groups, &batch.share, step)?;
        metrics.put("groups/asked", batch.asked as f64);
        metrics.put("groups/rounds", batch.rounds as f64);
        metrics.put("groups/right", batch.right as f64 / batch.asked as f64);
        metrics.put("groups/wrong", batch.wrong as f64 / batch.asked as f64);
        metrics.put("time/rollout_s", rollout_s);
        metrics.extend(self.engine.report());
        metrics.put("time/update_s", clock.elapsed().as_secs_f64());
        Ok(StepResult { metrics, lost })
    }

    /// Credits of the answers of step `step`, and what is learnt of them. `groups` are this rank's.
    fn learn_of(&mut self, groups: &[Group], share: &Share, step: u64) -> Result<StepResult> {
        let mut objective = Objective::new(&self.recipe.objective, &self.recipe.term)?;
        objective.anneal(step as f64 / self.recipe.train.steps as f64);
        let told = self.penalties(&objective, groups)?.into_iter().zip(groups);
        let told = told.map(|(penalties, group)| Told::of(group, penalties));
        let told = ranks::in_order(&*self.ranks, share.places.iter().copied().zip(told).collect())?;
        let outcomes: Vec<_> = told.iter().map(|group| group.outcomes.clone()).collect();
        let all = objective.advantages(&outcomes);
        let credits: Vec<Vec<f64>> = share.places.iter().map(|&place| all[place].clone()).collect();
        self.log_answers(groups, share, &credits)?;
        let mut metrics = describe(&told, &all);
        self.check_sampled(&objective, groups)?;
        if self.turns.is_some() {
            let answers = groups.iter().flat_map(|g| g.rollouts.iter().map(|r| (&g.sample, &r.heard[..])));
            let looks = ranks::all(&*self.ranks, Looks::of(answers))?.into_iter();
            looks.reduce(|sum, theirs| sum.plus(&theirs)).unwrap_or_default().measure(&mut metrics, "");
        }
        if let Some(weights) = objective.group_weights(&outcomes) {
            metrics.put("groups/weight", moments(&weights).0);
        }
        if objective.has_penalties() {
            let penalties: Vec<f64> = told.iter().flat_map(|group| &group.penalties).copied().collect();
            metrics.put("reward/penalty", moments(&penalties).0);
        }
        if told.iter().any(Told::is_broken) {
            // Statistics of a group with such a reward mean nothing: no update is made of the step.
            let credited: Vec<_> = groups.iter().zip(credits.iter().map(Vec::as_slice)).collect();
            self.dump(0, &[], &credited, &metrics)?;
            return Ok(StepResult { metrics, lost: 1 });
        }
        let (temperature, updates) = (self.recipe.rollout.temperature, self.recipe.optim.updates);
        let learnt = self.learn(&objective, temperature, (groups, share), &credits, updates, step)?;
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

    /// The answers of the first groups of the step go to `completions.jsonl`.
    fn log_answers(&mut self, groups: &[Group], share: &Share, credits: &[Vec<f64>]) -> Result<()> {
        let line = self.progress.step + 1;
        let all = share.places.iter().zip(groups.iter().zip(credits));
        let logged = all.filter(|(place, _)| **place < self.recipe.train.completions);
        let lines = logged.map(|(place, (group, credit))| {
            let lines = group.lines(line, credit).iter().map(Value::to_string).collect::<Vec<_>>();
            (*place, lines)
        });
        let lines = ranks::in_order(&*self.ranks, lines.collect())?;
        self.logs.completions.append(lines.iter().flatten())
    }

    /// What the terms in the reward take off each answer of each group; nothing where there are none.
    fn penalties(&self, objective: &Objective, groups: &[Group]) -> Result<Vec<Vec<f64>>> {
        if !objective.has_penalties() {
            return Ok(vec![vec![]; groups.len()]);
        }
        let zeros: Vec<Vec<f64>> = groups.iter().map(|g| vec![0.0; g.rollouts.len()]).collect();
        let credited: Vec<(&Group, &[f64])> = groups.iter().zip(zeros.iter().map(Vec::as_slice)).collect();
        let (budget, mask_cut) = (self.recipe.optim.token_budget, self.recipe.rollout.mask_cut);
        let micros = micro::pack(&credited, budget, mask_cut)?;
        let updater = self.updater(objective, self.recipe.rollout.temperature, 0);
        let mut penalties = updater.penalties(&micros)?.into_iter();
        Ok(groups.iter().map(|group| penalties.by_ref().take(group.rollouts.len()).collect()).collect())
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
            reducer: self.reducer.as_ref(),
        }
    }

    /// `updates` updates from this rank's groups with their credits; the metrics are means over the updates.
    pub(crate) fn learn(
        &mut self,
        objective: &Objective,
        temperature: f32,
        (groups, share): (&[Group], &Share),
        credits: &[Vec<f64>],
        updates: usize,
        step: u64,
    ) -> Result<StepResult> {
        let credited: Vec<(&Group, &[f64])> = groups.iter().zip(credits.iter().map(Vec::as_slice)).collect();
        let (budget, mask_cut) = (self.recipe.optim.token_budget, self.recipe.rollout.mask_cut);
        let parts: Vec<_> = share.mini_batches(updates).into_iter().map(|part| &credited[part]).collect();
        let minis = parts.iter().map(|mini| micro::pack(mini, budget, mask_cut));
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
            let update = match &self.reducer {
                Some(reducer) => reducer.apply(finite, &mut self.optim, lr, &mut metrics)?,
                None => update::apply(finite, &mut self.optim, &self.sink, lr, &mut metrics)?,
            };
            if !update.applied {
                lost += 1;
                self.dump(u, mini, parts[u], &metrics)?;
            }
            all.push(metrics);
        }
        Ok(StepResult { metrics: Metrics::over(&all), lost })
    }

    /// The batch of an update that was not finite, for whoever looks for the cause. Every rank tells rank 0
    /// what it had of it.
    fn dump(
        &self,
        update: usize,
        minis: &[Micro],
        groups: &[(&Group, &[f64])],
        metrics: &Metrics,
    ) -> Result<()> {
        let step = self.progress.step + 1;
        let ids = |group: &Group| group.rollouts.iter().map(|r| r.ids.clone()).collect::<Vec<_>>();
        let answers: Vec<_> = groups.iter().flat_map(|(group, credit)| group.lines(step, credit)).collect();
        let mine = json!({
            "packs": minis.iter().map(|m| m.pack.ids_t.len()).collect::<Vec<_>>(),
            "prompt_ids": groups.iter().map(|(g, _)| g.prompt.input_ids.clone()).collect::<Vec<_>>(),
            "completion_ids": groups.iter().map(|(g, _)| ids(g)).collect::<Vec<_>>(),
            "answers": answers,
        });
        let all = ranks::all(&*self.ranks, mine.to_string())?;
        if self.ranks.rank() > 0 {
            return Ok(());
        }
        let dir = self.run.dumps();
        std::fs::create_dir_all(&dir).map_err(Error::io(&dir))?;
        let path = dir.join(format!("step-{step:06}-{update}.json"));
        let mut dump = json!({"metrics": metrics.to_json(step, "dump")});
        for (name, value) in mine.as_object().into_iter().flatten() {
            dump[name] = value.clone();
        }
        for theirs in all.iter().skip(1) {
            let theirs: Value = serde_json::from_str(theirs).map_err(|e| Error::run(&path, e))?;
            for (name, value) in theirs.as_object().into_iter().flatten() {
                let more = value.as_array().cloned().unwrap_or_default();
                dump[name].as_array_mut().into_iter().for_each(|list| list.extend(more.clone()));
            }
        }
        crate::run_dir::replace(&path, dump.to_string().as_bytes())
    }
}
