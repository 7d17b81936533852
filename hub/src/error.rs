//! What can go wrong between here and the hub, in words that say what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file of the hub is not here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A word that is meant as a name of the hub and is none.
    #[error("`{word}`: {message}")]
    Name {
        /// As it was written.
        word: String,
        /// What is wrong with it.
        message: String,
    },
    /// A variable of the environment that cannot be meant.
    #[error("environment: `{name}` should be {expected}, but is `{found}`")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The hub is not asked, and the cache has not all that is needed.
    #[error("{repo}: {missing} not in the cache ({}), and {reason}", looked.display())]
    Absent {
        /// The repository.
        repo: String,
        /// What is missing, with its verb.
        missing: String,
        /// Where it was looked for.
        looked: PathBuf,
        /// Why the hub is not asked.
        reason: Reason,
    },
    /// The hub has no such repository, revision or file, or does not show it.
    #[error("{url}: {message}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer, with its status.
        message: String,
    },
    /// The hub could not be reached, or broke off again and again.
    #[error("{url}: {message}")]
    Transport {
        /// What was asked for.
        url: String,
        /// The last fault.
        message: String,
    },
    /// What came is not what the hub says of the file.
    #[error("{file}: {field} should be {expected}, as the hub says, but is {found}")]
    Damaged {
        /// The file in its repository.
        file: String,
        /// What differs.
        field: &'static str,
        /// The hub's word.
        expected: String,
        /// What came.
        found: String,
    },
    /// The hub says something that cannot be meant.
    #[error("{url}: {message}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        message: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The caller asked for an end.
    #[error("stopped as asked; what has come is kept, and the same command goes on from there")]
    Stopped,
}

/// Why the hub is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The user said so.
    Offline,
    /// It did not answer; the last fault.
    Unreachable(String),
    /// The caller wants what is here alone.
    CacheOnly,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline => f.write_str("HF_HUB_OFFLINE is set, so the hub is not asked"),
            Self::Unreachable(fault) => write!(f, "the hub cannot be reached ({fault})"),
            Self::CacheOnly => f.write_str("nothing is fetched for this"),
        }
    }
}

impl Error {
    /// Whether the user's input is at fault, and not the network, the disk or the wish to stop.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Name { .. } | Self::Environment { .. } | Self::Refused { .. } => true,
            Self::Absent { reason, .. } => !matches!(reason, Reason::Unreachable(_)),
            Self::Transport { .. } | Self::Damaged { .. } | Self::Answer { .. } => false,
            Self::Io { .. } | Self::Stopped => false,
        }
    }

    /// For `map_err` on operations with the file at `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn name(word: &str, message: impl Into<String>) -> Self {
        Self::Name { word: word.into(), message: message.into() }
    }
}
