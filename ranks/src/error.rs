//! What can go wrong among ranks. Errors are cloned to whoever waits, so they hold text only.

/// The result of what ranks do together.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A process is no more, or gives no sign of life.
    #[error("rank {rank} was lost: {why}")]
    Lost {
        /// The rank.
        rank: usize,
        /// How that was seen.
        why: String,
    },
    /// A rank ended with an error of its own.
    #[error("rank {rank} failed: {why}")]
    Failed {
        /// The rank.
        rank: usize,
        /// Its error.
        why: String,
    },
    /// A rank is alive, but did not come to where the others wait for it.
    #[error("rank {rank} did not come to `{call}` within {seconds} s (ranks.deadline_s)")]
    Deadline {
        /// The rank.
        rank: usize,
        /// What the others wait in.
        call: String,
        /// How long they waited.
        seconds: u64,
    },
    /// Ranks that never came.
    #[error("ranks {missing:?} of {size} did not join at {address} within {seconds} s (ranks.deadline_s)")]
    Join {
        /// Who is missing.
        missing: Vec<usize>,
        /// How many there should be.
        size: usize,
        /// Where the ranks meet.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The environment does not say which rank this is.
    #[error("environment: `{name}` should be {expected}, but is {found}")]
    Launch {
        /// The variable.
        name: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Two ranks do not do the same.
    #[error("rank {rank} disagrees: {what} should be {expected}, but is {found}")]
    Mismatch {
        /// The other rank.
        rank: usize,
        /// What they disagree about.
        what: String,
        /// Here.
        expected: String,
        /// There.
        found: String,
    },
    /// An engine that cannot be used.
    #[error("ranks.engine `{engine}`: {message}")]
    Engine {
        /// The engine.
        engine: String,
        /// Why not.
        message: String,
    },
}

impl Error {
    /// Whether the user's input, not the work, is at fault (exit code 2).
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Launch { .. } | Self::Mismatch { .. } | Self::Engine { .. })
    }

    /// For `map_err` on what `engine` does.
    pub(crate) fn engine<E: std::fmt::Display>(engine: &str) -> impl FnOnce(E) -> Self {
        let engine = engine.to_string();
        move |e| Self::Engine { engine, message: e.to_string() }
    }
}
