//! What a recipe cannot mean, found before any file is opened.

use super::{EngineName, Recipe};
use crate::reward::REWARDS;
use crate::view::{PICKED, resolve};
use foveate_objectives::{Branch, Objective, Signal};
use foveate_vision::grounding::SCRIPTS;

/// The key at fault, and what is wrong with it.
type Fault = (String, String);

impl Recipe {
    /// Checks ranges and names. No I/O.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_model()?;
        self.check_numbers()?;
        self.check_names()?;
        self.check_turns()?;
        self.check_server()?;
        let objective = Objective::new(&self.objective, &self.term);
        objective.map_err(|e| ("objective".to_string(), format!("cannot be built: {e}")))?;
        for (i, spec) in self.reward.iter().enumerate() {
            let built = spec.reward.build("reward", REWARDS);
            built.map_err(|e| (format!("reward.{i}"), format!("cannot be built: {e}")))?;
        }
        self.check_views()
    }

    /// Every view that a term reads must be made.
    fn check_views(&self) -> Result<(), Fault> {
        for (i, view) in self.view.iter().enumerate() {
            let new = view.name != PICKED && self.view[..i].iter().all(|v| v.name != view.name);
            holds(&format!("view.{i}.name"), new, "a name of its own", &view.name)?;
            holds(&format!("view.{i}.corruptions"), !view.corruptions.is_empty(), "at least one", "empty")?;
            corruptions(&format!("view.{i}.corruptions"), &view.corruptions)?;
            severities(&format!("view.{i}.severities"), &view.severities)?;
        }
        let objective = Objective::new(&self.objective, &self.term).map(|o| (o.needs(), o.reward_needs()));
        let (needs, of_reward) = objective.unwrap_or_default();
        for signal in needs.into_iter().chain(of_reward) {
            let whole = matches!(signal, Signal::ViewDivergence(_, branch) if branch != Branch::Clean);
            let lean = self.optim.lean_views && whole;
            holds("optim.lean_views", !lean, "false with an `estimator = \"full\"` through a view", "true")?;
            let Some(name) = signal.view() else { continue };
            let made = self.view.iter().any(|v| v.name == name) || (name == PICKED && !self.view.is_empty());
            holds("term", made, "about views that a [[view]] makes", format!("about `{name}`"))?;
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), Fault> {
        let (r, o, w) = (&self.rollout, &self.optim, &self.warmup);
        least("rollout.prompts", r.prompts, 1)?;
        least("rollout.questions", r.questions, 1)?;
        least("rollout.group", r.group, 2)?;
        least("rollout.rounds", r.rounds, 1)?;
        least("rollout.max_tokens", r.max_tokens, 1)?;
        let most = format!("at most rollout.max_tokens = {}", r.max_tokens);
        holds("rollout.min_tokens", r.min_tokens <= r.max_tokens, &most, r.min_tokens)?;
        let finite = r.temperature > 0.0 && r.temperature.is_finite();
        holds("rollout.temperature", finite, "over 0", r.temperature)?;
        holds("rollout.top_p", r.top_p > 0.0 && r.top_p <= 1.0, "over 0 and at most 1", r.top_p)?;
        positive("optim.lr", o.lr)?;
        positive("optim.vision_lr", o.vision_lr)?;
        let betas = o.betas.iter().all(|beta| (0.0..1.0).contains(beta));
        holds("optim.betas", betas, "at least 0 and under 1", format!("{:?}", o.betas))?;
        share("optim.floor", o.floor)?;
        holds("optim.weight_decay", o.weight_decay >= 0.0, "at least 0", o.weight_decay)?;
        holds("optim.clip_norm", o.clip_norm >= 0.0, "at least 0", o.clip_norm)?;
        let split = format!("between 1 and rollout.prompts = {}", r.prompts);
        holds("optim.updates", (1..=r.prompts).contains(&o.updates), &split, o.updates)?;
        least("optim.token_budget", o.token_budget, 1)?;
        positive("warmup.lr", w.lr)?;
        share("warmup.floor", w.floor)?;
        w.share.iter().try_for_each(|(category, &part)| share(&format!("warmup.share.{category}"), part))?;
        least("warmup.images", w.images, 1)?;
        least("warmup.questions", w.questions, 1)?;
        self.check_ranks()?;
        least("train.keep", self.train.keep, 1)
    }

    fn check_model(&self) -> Result<(), Fault> {
        let model = &self.model;
        if let Some(patch) = model.patch_size {
            holds("model.patch_size", (4..=56).contains(&patch), "between 4 and 56", patch)?;
            holds(
                "model.patch_size",
                model.tiny().is_some(),
                "absent, as `model.path` is a directory",
                patch,
            )?;
        }
        if let Some(device) = &model.device {
            let number = |n: &str| n.parse::<usize>().is_ok();
            let known =
                ["cpu", "cuda"].contains(&&**device) || device.strip_prefix("cuda:").is_some_and(number);
            holds("model.device", known, "`cpu`, `cuda` or `cuda:N`", device)?;
        }
        if let Some(dtype) = &model.dtype {
            holds("model.dtype", ["f32", "bf16"].contains(&&**dtype), "`f32` or `bf16`", dtype)?;
        }
        if let Some(parts) = &model.train {
            holds("model.train", !parts.is_empty(), "at least one part", "empty")?;
            holds("model.train", !model.adapts(), "absent, as an adapter is trained instead", "there")?;
        }
        let both = model.lora.is_some() && model.adapter.is_some();
        holds("model.adapter", !both, "absent beside [model.lora]", "there")?;
        match model.lora.as_ref().map(|lora| lora.check("recipe")) {
            Some(Err(foveate_vision::Error::Input { field, expected, found, .. })) => {
                holds(&format!("model.lora.{field}"), false, &expected, found)
            }
            _ => Ok(()),
        }
    }

    fn check_ranks(&self) -> Result<(), Fault> {
        let r = &self.ranks;
        let engine = foveate_ranks::ENGINES.contains(&r.engine.as_str());
        let one = format!("one of {}", foveate_ranks::ENGINES.join(", "));
        holds("ranks.engine", engine, &one, &r.engine)?;
        holds("ranks.zero", r.zero <= 2, "0, 1 or 2", r.zero)?;
        holds("ranks.bucket_mb", (1..=1024).contains(&r.bucket_mb), "between 1 and 1024", r.bucket_mb)?;
        holds("ranks.deadline_s", r.deadline_s >= 1, "at least 1", r.deadline_s)
    }

    fn check_turns(&self) -> Result<(), Fault> {
        let Some(turns) = &self.rollout.turns else { return Ok(()) };
        least("rollout.turns.max", turns.max, 2)?;
        let known: Vec<_> = SCRIPTS.iter().map(|script| script.name).collect();
        let script = &turns.script;
        let one = format!("one of {}", known.join(", "));
        holds("rollout.turns.script", known.contains(&script.as_str()), &one, script)?;
        if let Some(side) = turns.min_side {
            holds("rollout.turns.min_side", side >= 0.0 && side.is_finite(), "at least 0", side)?;
        }
        // A view would have to be cut out as well; the clean part would give the corrupted image away.
        holds("view", self.view.is_empty(), "absent where there is [rollout.turns]", self.view.len())
    }

    fn check_server(&self) -> Result<(), Fault> {
        let remote = self.rollout.engine == EngineName::Server;
        let Some(server) = &self.rollout.server else {
            return holds("rollout.engine", !remote, "`local` where there is no [rollout.server]", "server");
        };
        let http = server.url.starts_with("http://") || server.url.starts_with("https://");
        holds("rollout.server.url", http, "http://HOST:PORT or https://…", &server.url)?;
        least("rollout.server.concurrency", server.concurrency, 1)?;
        positive("rollout.server.timeout", server.timeout)?;
        positive("rollout.server.deadline", server.deadline)?;
        positive("rollout.server.tolerance", server.tolerance)?;
        // A server cuts what was said into tokens again when it reads it in the next turn.
        let single = !remote || self.rollout.turns.is_none();
        holds("rollout.turns", single, "absent where `rollout.engine` is `server`", "there")
    }

    fn check_names(&self) -> Result<(), Fault> {
        let split = &self.data.split;
        holds("data.split", ["train", "test"].contains(&split.as_str()), "`train` or `test`", split)?;
        holds("reward", !self.reward.is_empty(), "at least one reward", "empty")?;
        let tasks = self.eval.iter().map(|e| &e.task).enumerate();
        let tasks = tasks.map(|(i, task)| (format!("eval.{i}.task"), task));
        for (key, task) in [("data.task".to_string(), &self.data.task)].into_iter().chain(tasks) {
            let known: Vec<_> = foveate_datasets::TASKS.iter().map(|t| t.name).collect();
            holds(&key, known.contains(&task.as_str()), &format!("one of {}", known.join(", ")), task)?;
        }
        for (i, eval) in self.eval.iter().enumerate() {
            corruptions(&format!("eval.{i}.corruptions"), &eval.corruptions)?;
            severities(&format!("eval.{i}.severities"), &eval.severities)?;
        }
        Ok(())
    }
}

fn corruptions(key: &str, names: &[String]) -> Result<(), Fault> {
    let found = resolve(names);
    found.map(|_| ()).map_err(|e| (key.to_string(), format!("names an unknown one: {e}")))
}

fn severities(key: &str, levels: &[u8]) -> Result<(), Fault> {
    holds(key, !levels.is_empty(), "at least one", "empty")?;
    levels.iter().try_for_each(|&level| holds(key, (1..=5).contains(&level), "between 1 and 5", level))
}

fn holds(key: &str, good: bool, expected: &str, found: impl ToString) -> Result<(), Fault> {
    if good {
        return Ok(());
    }
    Err((key.to_string(), format!("should be {expected}, but is {}", found.to_string())))
}

fn least(key: &str, found: usize, least: usize) -> Result<(), Fault> {
    holds(key, found >= least, &format!("at least {least}"), found)
}

fn share(key: &str, found: f64) -> Result<(), Fault> {
    holds(key, (0.0..=1.0).contains(&found), "between 0 and 1", found)
}

fn positive(key: &str, found: f64) -> Result<(), Fault> {
    holds(key, found > 0.0 && found.is_finite(), "over 0", found)
}
