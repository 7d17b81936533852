//! How a run becomes one of several ranks, and how it ends when another rank is no more.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foveate_ranks::{Collective, Settings, launch};
use foveate_trainer::recipe::Recipe;

use crate::failure::{Failure, Outcome};

/// Between two looks; a rank that is in the middle of its work for longer says that another is lost, since
/// mpirun ends it a second later; how long it may take to come to its next message.
const LOOK: Duration = Duration::from_millis(200);
const GRACE: Duration = Duration::from_secs(10);

/// The ranks that this process was started with, which meet as `recipe` says; one alone if it was started
/// alone. Tells the recipe which GPU of the machine is this rank's.
pub fn join(recipe: &mut Recipe) -> foveate_trainer::Result<Arc<dyn Collective>> {
    let launch = launch::from_env()?;
    recipe.model.gpu = launch.as_ref().map_or(0, |launch| launch.local_rank);
    let ranks = &recipe.ranks;
    let settings = Settings {
        engine: ranks.engine.clone(),
        deadline: Duration::from_secs(ranks.deadline_s),
        join: Duration::from_secs(ranks.deadline_s),
    };
    Ok(foveate_ranks::join(launch.as_ref(), &settings)?)
}

/// Says in a failure which of several ranks it is.
pub fn named<T>(result: Outcome<T>) -> Outcome<T> {
    let launch = launch::from_env().ok().flatten();
    let name = |failure: Failure| match &launch {
        Some(launch) => failure.at(format!("rank {}", launch.rank)),
        None => failure,
    };
    result.map_err(name)
}

/// Ends the process when another rank is lost and this one does not come to notice: its work can go nowhere,
/// and checkpoints are whole at any time.
#[derive(Debug)]
pub struct Guard {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Guard {
    /// Watches until it is dropped.
    pub fn over(ranks: Arc<dyn Collective>) -> Self {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            let mut lost: Option<Instant> = None;
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let Some(error) = ranks.lost() else { continue };
                match lost {
                    None => eprintln!("rank {}: {error}; this rank ends too", ranks.rank()),
                    Some(since) if since.elapsed() > GRACE => std::process::exit(1),
                    Some(_) => continue,
                }
                lost = Some(Instant::now());
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop = None;
        // It holds the ranks, which leave in order only when nobody does.
        self.thread.take().into_iter().for_each(|thread| {
            let _ = thread.join();
        });
    }
}
