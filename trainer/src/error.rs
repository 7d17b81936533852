//! What can go wrong in a run, sorted by who is at fault.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the trainer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A recipe says something that cannot be meant.
    #[error("{place}: {message}")]
    Recipe {
        /// File and line, or the command line.
        place: String,
        /// The key and what is wrong with it.
        message: String,
    },
    /// A file of a run directory is not what this program wrote.
    #[error("{path}: {message}", path = path.display())]
    Run {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong, with the values that differ.
        message: String,
    },
    /// A trainable parameter took no part in the loss.
    #[error(
        "the trainable parameter `{name}` received no gradient: freeze it (model.train) or find where the graph is cut"
    )]
    NoGradient {
        /// The parameter.
        name: String,
    },
    /// A gradient, a moment or a list has another size than what it belongs to.
    #[error("`{name}` should have {expected} values, but has {found}")]
    Size {
        /// The parameter or list.
        name: String,
        /// What it must be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// Too many updates in which the loss or gradient was not finite.
    #[error("{skipped} updates were not finite, more than optim.max_skipped = {max}; the batches are in {dumps}", dumps = dumps.display())]
    NotFinite {
        /// Updates skipped so far.
        skipped: u64,
        /// The most allowed.
        max: u64,
        /// Where the batches were written.
        dumps: PathBuf,
    },
    /// A reward cannot go on.
    #[error("reward `{name}` {message}")]
    Reward {
        /// The reward, or the program behind it.
        name: String,
        /// What happened.
        message: String,
    },
    /// The policy earns the perception term instead of answering.
    #[error("step {step}: {signs}; stopped because train.hacking is `stop`")]
    Hacking {
        /// The step.
        step: u64,
        /// What was seen.
        signs: String,
    },
    /// A server that samples is not there, or not what it must be.
    #[error("server {url}: {message}")]
    Server {
        /// Where it is.
        url: String,
        /// What happened.
        message: String,
    },
    /// After a push the server does not say what the trainer says.
    #[error(
        "server {url}: after the push of {version}, {place} (mean difference {gap:.6} over {tokens} tokens, \
         rollout.server.tolerance is {tolerance}){held}"
    )]
    Stale {
        /// Where it is.
        url: Box<str>,
        /// The weights that it was given.
        version: Box<str>,
        /// The token that differs most, with both log-probabilities.
        place: Box<str>,
        /// The mean difference in nats.
        gap: f64,
        /// Tokens that were compared.
        tokens: usize,
        /// The largest mean difference that is allowed.
        tolerance: f64,
        /// The weights that it has instead, where that is known.
        held: Box<str>,
    },
    /// The run was told to stop while it waited.
    #[error("stopped while waiting for the server")]
    Stopped,
    /// An error of how a server is spoken to.
    #[error(transparent)]
    Spoken(#[from] foveate_eval::Error),
    /// A gradient grew after it was sent to the other ranks: the model tells its uses of a weight wrongly.
    #[error("the gradient of `{name}` grew after it had been summed over ranks")]
    LateGradient {
        /// The parameter.
        name: String,
    },
    /// An error among ranks.
    #[error(transparent)]
    Ranks(#[from] foveate_ranks::Error),
    /// An error of the model.
    #[error(transparent)]
    Vision(#[from] foveate_vision::Error),
    /// An error of the data.
    #[error(transparent)]
    Data(#[from] foveate_datasets::Error),
    /// An error of the corruptions.
    #[error(transparent)]
    Augment(#[from] foveate_augment::Error),
    /// An error of the objective.
    #[error(transparent)]
    Objective(#[from] foveate_objectives::Error),
    /// An error of the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// For `map_err` on operations with the file at `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// A file of a run that is not what it must be.
    pub fn run(path: impl Into<PathBuf>, message: impl ToString) -> Self {
        Self::Run { path: path.into(), message: message.to_string() }
    }

    /// Whether the user's input, not the work, is at fault (exit code 2).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Recipe { .. } | Self::Run { .. } | Self::Data(_) | Self::Augment(_) => {
                true
            }
            Self::Vision(e) => e.is_input(),
            Self::Objective(e) => e.is_input(),
            Self::Spoken(e) => e.is_input(),
            Self::Ranks(e) => e.is_input(),
            Self::NoGradient { .. }
            | Self::LateGradient { .. }
            | Self::Size { .. }
            | Self::NotFinite { .. }
            | Self::Reward { .. }
            | Self::Hacking { .. }
            | Self::Server { .. }
            | Self::Stale { .. }
            | Self::Stopped
            | Self::Tensor(_) => false,
        }
    }
}
