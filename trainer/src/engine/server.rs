//! A server that samples: it is given the weights, proves that it has them, and answers.
//!
//! Decides when weights are pushed: before the rollouts of every step, and again whenever the server may have
//! been started anew. Only after the probe has passed is anything that it says believed.

use super::evidence::Proof;
use super::probe::{Probe, Verdict};
use super::push::{PREFIX, Push};
use super::request::Scale;
use super::rounds::Rounds;
use super::{Call, Engine, Trouble};
use crate::data::{Question, Source};
use crate::log::Metrics;
use crate::policy::LocalPolicy;
use crate::recipe::ServerRecipe;
use crate::run_dir::RunDir;
use crate::{Error, Result};
use foveate_eval::server::{Client, Fault, Retry};
use foveate_vision::generate::Generated;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A server with OpenAI's chat completions.
#[derive(Debug)]
pub struct Server {
    pub(super) client: Client,
    pub(super) retry: Retry,
    pub(super) concurrency: usize,
    push: Push,
    run: RunDir,
    probe: Probe,
    /// Tells versions of this run from those of others at the same server.
    label: String,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
struct State {
    /// What the model is called at the server.
    model: String,
    /// The weights that it is given.
    version: String,
    /// The weights before these, where the server still has them beside.
    before: String,
    scale: Option<Scale>,
    proof: Option<Proof>,
    metrics: Metrics,
}

/// A server that was found to be there.
#[derive(Debug)]
pub(crate) struct Reached {
    client: Client,
    model: String,
    push: Push,
}

impl Reached {
    /// The server that a recipe names, which must be there.
    ///
    /// # Errors
    /// A server that is not there, that does not serve such a model, or that takes no weights.
    pub(super) fn at(recipe: &ServerRecipe, adapts: bool) -> Result<Self> {
        let key = std::env::var(&recipe.key_env).ok().filter(|key| !key.is_empty());
        let timeout = seconds("timeout", recipe.timeout)?;
        let client = Client::new(&recipe.url, key, timeout, recipe.concurrency);
        let client = client.ok_or_else(|| wrong("url", "http://HOST:PORT", &recipe.url))?;
        let model = served(&client, recipe)?;
        let push = Push::find(&client, recipe, adapts).map_err(|trouble| trouble.last(client.root()))?;
        Ok(Self { client, model, push })
    }
}

impl Server {
    /// `reached` as the engine of a run. `temperature` is that of the rollouts.
    ///
    /// # Errors
    /// Broken data.
    pub(super) fn new(
        Reached { client, model, push }: Reached,
        recipe: &ServerRecipe,
        run: &RunDir,
        (policy, source): (&LocalPolicy, &Source),
        temperature: f32,
    ) -> Result<Self> {
        let probe = Probe::new(policy, source, temperature, recipe.tolerance)?;
        let deadline = seconds("deadline", recipe.deadline)?;
        let retry = Retry { retries: u32::MAX, deadline, ..Retry::default() };
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
        let (version, before) = (String::new(), String::new());
        let (scale, proof, metrics) = (None, None, Metrics::default());
        Ok(Self {
            client,
            retry,
            concurrency: recipe.concurrency,
            push,
            run: run.clone(),
            probe,
            label: format!("{:x}", started & 0xff_ffff_ffff),
            state: Mutex::new(State { model, version, before, scale, proof, metrics }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the model is called, and which distribution its log-probabilities are of.
    pub(super) fn spoken(&self) -> (String, Scale) {
        let state = self.state();
        let model = self.push.model(&state.version).unwrap_or(&state.model);
        (model.to_owned(), state.scale.unwrap_or(Scale::Raw))
    }

    /// Adds to a number that [`Engine::report`] gives.
    pub(super) fn count(&self, name: &str, value: f64) {
        self.state().metrics.add(name, value);
    }

    /// A server that knows the model no more under the name of an adapter was started again.
    pub(super) fn forgot(&self, fault: &Fault) -> bool {
        let adapter = self.push.model("").is_some();
        adapter && matches!(fault, Fault::Fatal(why) if why.contains("status 404"))
    }

    /// Whether the server still has what it was given, as far as it says.
    pub(super) fn still(&self) -> Result<bool, Fault> {
        let version = self.state().version.clone();
        self.push.still(&self.client, &version)
    }

    /// Pushes what was pushed last until the server has it, waiting for a server that is away.
    ///
    /// # Errors
    /// A server that stays away or refuses; [`Error::Stale`] where it takes a push twice without effect.
    pub(super) fn bring(&self, policy: &LocalPolicy, stop: &AtomicBool) -> Result<()> {
        let (clock, mut tries, mut again) = (Instant::now(), 0, false);
        loop {
            let why = match self.once(policy) {
                Ok(()) => return Ok(()),
                Err(trouble) if !again && self.lacks_push(&trouble) => {
                    again = true;
                    continue;
                }
                Err(Trouble::Fault(Fault::Passing { why, .. })) => why,
                Err(trouble) => return Err(trouble.last(self.client.root())),
            };
            self.wait(&clock, tries, stop).map_err(|error| match error {
                Error::Server { url, message } => Error::Server { url, message: format!("{message}: {why}") },
                other => other,
            })?;
            tries += 1;
        }
    }

    /// Whether a probe failed as where the server was started again between the push and the probe.
    fn lacks_push(&self, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::Error(error) => matches!(**error, Error::Stale { .. }),
            Trouble::Fault(fault) => self.forgot(fault),
        }
    }

    fn once(&self, policy: &LocalPolicy) -> Result<(), Trouble> {
        let (model, _) = self.spoken();
        let (version, before, scale, proof) = {
            let state = self.state();
            (state.version.clone(), state.before.clone(), state.scale, state.proof.clone())
        };
        self.push.tell(&self.client, &self.run, (policy, &version))?;
        let Verdict { scale, proof, metrics } =
            self.probe.run(&self.client, policy, (&model, &version), (scale, proof.as_ref()))?;
        self.push.forget(&self.client, &before)?;
        let mut state = self.state();
        state.before.clear();
        state.scale = Some(scale);
        state.proof = proof.or_else(|| state.proof.take());
        state.metrics.extend(metrics);
        state.metrics.add("sync/pushes", 1.0);
        Ok(())
    }

    /// Waits before the call that follows `tries` others, the first of which began at `clock`.
    ///
    /// # Errors
    /// [`Error::Stopped`], or the deadline is over.
    pub(super) fn wait(&self, clock: &Instant, tries: u32, stop: &AtomicBool) -> Result<()> {
        let until = Instant::now() + self.retry.wait(tries, u64::from(tries));
        if until.duration_since(*clock) > self.retry.deadline {
            let message = format!("was away for {} s", clock.elapsed().as_secs());
            return Err(Error::Server { url: self.client.root().into(), message });
        }
        while Instant::now() < until {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            std::thread::sleep(Duration::from_millis(20).min(until.duration_since(Instant::now())));
        }
        Ok(())
    }
}

impl Engine for Server {
    fn follow(&self, policy: &LocalPolicy, step: u64, stop: &AtomicBool) -> Result<()> {
        let clock = Instant::now();
        let version = format!("{PREFIX}{}-{step:06}", self.label);
        self.push.write(&self.run, policy, &version)?;
        {
            let mut state = self.state();
            state.before = std::mem::replace(&mut state.version, version);
        }
        self.bring(policy, stop)?;
        self.count("time/sync_s", clock.elapsed().as_secs_f64());
        Ok(())
    }

    fn generate(
        &self,
        policy: &LocalPolicy,
        questions: &[Question],
        call: Call<'_>,
    ) -> Result<Vec<Vec<Generated>>> {
        Rounds::new(self, policy, questions, call)?.run()
    }

    fn report(&self) -> Metrics {
        std::mem::take(&mut self.state().metrics)
    }
}

/// The name of the served model: the recipe's, which the server must know, or the only one there is.
fn served(client: &Client, recipe: &ServerRecipe) -> Result<String> {
    let listed = client.get("/v1/models").map_err(|fault| {
        let message = format!("{} (it must be there before the run: docs/engines.md)", fault.why());
        Error::Server { url: client.root().into(), message }
    })?;
    let models = listed["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = models.iter().filter_map(|model| model["id"].as_str()).collect();
    match (&recipe.model, &names[..]) {
        (Some(model), names) if names.contains(&model.as_str()) => Ok(model.clone()),
        (None, [only]) => Ok((*only).to_string()),
        (said, names) => {
            let expected = format!("one of the models that {} serves ({})", client.root(), names.join(", "));
            Err(wrong("model", &expected, said.as_deref().unwrap_or("absent")))
        }
    }
}

fn seconds(key: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| wrong(key, "seconds over 0", value))
}

pub(super) fn wrong(key: &str, expected: &str, found: impl std::fmt::Display) -> Error {
    let message = format!("`rollout.server.{key}` should be {expected}, but is {found}");
    Error::Recipe { place: "recipe".into(), message }
}
