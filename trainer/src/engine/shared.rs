//! A server that all ranks of a run share: rank 0 speaks to it for all of them.
//!
//! Decides who asks and who hears what, and that a failure which leaves the run whole (a server that stays
//! away or is stale, a wait that was broken off) ends all ranks alike: together they write a checkpoint.
//! Knows no server.

use super::{Call, Engine};
use crate::data::{self, Question};
use crate::log::Metrics;
use crate::policy::LocalPolicy;
use crate::{Error, Result, ranks};
use foveate_ranks::Collective;
use foveate_vision::generate::Generated;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What rank 0 tells the others of what it asked.
#[derive(Serialize, Deserialize)]
enum Told<T> {
    Done(T),
    Failed { url: String, message: String },
    Stopped,
}

/// One rank's part in an engine that rank 0 has.
#[derive(Debug)]
pub(super) struct Shared {
    ranks: Arc<dyn Collective>,
    /// On rank 0.
    engine: Option<Box<dyn Engine>>,
}

impl Shared {
    pub(super) fn new(ranks: Arc<dyn Collective>, engine: Option<Box<dyn Engine>>) -> Self {
        Self { ranks, engine }
    }

    /// What `ask` makes of the engine, on all ranks.
    fn told<T: Serialize + DeserializeOwned>(&self, ask: impl FnOnce(&dyn Engine) -> Result<T>) -> Result<T> {
        let Some(engine) = &self.engine else {
            return match ranks::hear(&*self.ranks)? {
                Told::Done(done) => Ok(done),
                Told::Failed { url, message } => Err(Error::Server { url, message }),
                Told::Stopped => Err(Error::Stopped),
            };
        };
        let result = ask(engine.as_ref());
        let told = match &result {
            Ok(done) => Told::Done(done),
            Err(Error::Stopped) => Told::Stopped,
            Err(Error::Server { url, message }) => {
                Told::Failed { url: url.clone(), message: message.clone() }
            }
            Err(error @ Error::Stale { .. }) => {
                Told::Failed { url: "of rank 0".into(), message: error.to_string() }
            }
            // Nothing that all could go on from: the run ends, and the others hear why.
            Err(_) => return result,
        };
        ranks::tell(&*self.ranks, &told)?;
        result
    }
}

impl Engine for Shared {
    fn follow(&self, policy: &LocalPolicy, step: u64, stop: &AtomicBool) -> Result<()> {
        self.told(|engine| engine.follow(policy, step, stop))
    }

    fn generate(
        &self,
        policy: &LocalPolicy,
        questions: &[Question],
        call: Call<'_>,
    ) -> Result<Vec<Vec<Generated>>> {
        // Which questions, not the questions: rank 0 reads their images itself.
        let asked = ranks::all(&*self.ranks, (call.indices.to_vec(), call.seeds.to_vec()))?;
        let before: usize = asked[..self.ranks.rank()].iter().map(|(indices, _)| indices.len()).sum();
        let all = self.told(|engine| {
            let mut all = questions.to_vec();
            for (indices, _) in &asked[1..] {
                let change = |image: &image::RgbImage, _| image.clone();
                all.extend(data::questions(&policy.processor, call.source, indices, change)?);
            }
            let (indices, seeds): (Vec<_>, Vec<_>) = asked.iter().cloned().unzip();
            let (indices, seeds) = (indices.concat(), seeds.concat());
            engine.generate(policy, &all, Call { indices: &indices, seeds: &seeds, ..call })
        })?;
        Ok(all.into_iter().skip(before).take(questions.len()).collect())
    }

    fn report(&self) -> Metrics {
        self.engine.as_ref().map_or_else(Metrics::default, |engine| engine.report())
    }
}
