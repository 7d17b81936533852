//! Who samples the answers that are trained on: the model of this process, or a server that is given its weights.
//!
//! Decides what an engine is asked and what it gives back: token ids with their log-probabilities, never text.
//! Knows nothing of tasks, rewards or losses. To add one: a file here, its `mod` line and its arms in `Reached`.

mod evidence;
mod local;
mod probe;
mod push;
mod request;
mod rounds;
mod server;
mod shared;
mod wire;

pub use local::Local;
pub use server::Server;

use request::Pictures;
use shared::Shared;

use crate::data::{Question, Source};
use crate::log::Metrics;
use crate::policy::LocalPolicy;
use crate::recipe::{EngineName, Recipe, ServerRecipe};
use crate::run_dir::RunDir;
use crate::{Error, Result};
use foveate_eval::server::Fault;
use foveate_ranks::Collective;
use foveate_vision::generate::{Generated, Sampling};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Who samples.
pub trait Engine: Debug + Send + Sync {
    /// Brings it to the weights of `policy`, those after `step` steps of the run.
    ///
    /// # Errors
    /// It cannot be reached, or afterwards it does not say what `policy` says.
    fn follow(&self, policy: &LocalPolicy, step: u64, stop: &AtomicBool) -> Result<()>;

    /// Continues every question under the weights of the last [`Engine::follow`]; one list a question.
    ///
    /// # Errors
    /// Questions that cannot be asked, a server that stays away, or that reads another prompt than ours.
    fn generate(
        &self,
        policy: &LocalPolicy,
        questions: &[Question],
        call: Call<'_>,
    ) -> Result<Vec<Vec<Generated>>>;

    /// What there is to say since the last time it was asked.
    fn report(&self) -> Metrics;
}

/// How questions are to be continued.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Where the questions come from.
    pub source: &'a Source,
    /// Their samples there.
    pub indices: &'a [usize],
    /// Answers a question.
    pub n: usize,
    /// One seed a question.
    pub seeds: &'a [u64],
    /// How tokens are drawn.
    pub sampling: &'a Sampling,
    /// Set where nobody waits any more.
    pub stop: &'a AtomicBool,
}

/// Why something that was asked of a server did not come: it may come later, or it never will.
#[derive(Debug)]
enum Trouble {
    Fault(Fault),
    Error(Box<Error>),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

impl Trouble {
    /// As an error about the server at `url`, where it is not asked again.
    fn last(self, url: &str) -> Error {
        match self {
            Self::Error(error) => *error,
            Self::Fault(fault) => Error::Server { url: url.into(), message: fault.why().into() },
        }
    }
}

/// An engine that was found to be there, before anything of a run is written.
#[derive(Debug)]
pub(crate) enum Reached {
    Local,
    Server(Box<server::Reached>, ServerRecipe),
    /// A server that rank 0 has reached for this rank.
    Elsewhere,
}

impl Reached {
    /// The engine that a recipe names. A server must be there already; of several ranks only the first
    /// speaks to it.
    ///
    /// # Errors
    /// A server that is not there, that is none, or that lacks what a rollout engine must have.
    pub(crate) fn by(recipe: &Recipe, ranks: &dyn Collective) -> Result<Self> {
        let (rollout, adapts) = (&recipe.rollout, recipe.model.adapts());
        match (rollout.engine, &rollout.server) {
            (EngineName::Local, _) => Ok(Self::Local),
            (EngineName::Server, _) if ranks.rank() > 0 => Ok(Self::Elsewhere),
            (EngineName::Server, Some(server)) => {
                Ok(Self::Server(Box::new(server::Reached::at(server, adapts)?), server.clone()))
            }
            (EngineName::Server, None) => {
                let message =
                    "should say where the server is, as `rollout.engine` is `server`, but is absent";
                Err(Error::Recipe { place: "rollout.server".into(), message: message.into() })
            }
        }
    }

    /// The same for a run. `temperature` is that of the rollouts.
    ///
    /// # Errors
    /// Broken data.
    pub(crate) fn open(
        self,
        run: &RunDir,
        about: (&LocalPolicy, &Source),
        temperature: f32,
        ranks: &Arc<dyn Collective>,
    ) -> Result<Box<dyn Engine>> {
        let engine: Option<Box<dyn Engine>> = match self {
            Self::Local => return Ok(Box::new(Local)),
            Self::Server(reached, recipe) => {
                Some(Box::new(Server::new(*reached, &recipe, run, about, temperature)?))
            }
            Self::Elsewhere => None,
        };
        match engine {
            Some(engine) if ranks.size() == 1 => Ok(engine),
            engine => Ok(Box::new(Shared::new(ranks.clone(), engine))),
        }
    }
}
