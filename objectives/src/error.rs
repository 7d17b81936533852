//! What can go wrong between a recipe and a loss.

use crate::Signal;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the objectives.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipe names a row that its table does not have.
    #[error("no {axis} `{name}` (known: {known})")]
    Unknown {
        /// Which table: advantage, ratio, surrogate, correction, reduction or term.
        axis: &'static str,
        /// What the recipe said.
        name: String,
        /// The names of the table.
        known: String,
    },
    /// A row was given a field it does not have, or a value it cannot take.
    #[error("{axis} `{name}`: {reason}")]
    Config {
        /// Which table.
        axis: &'static str,
        /// The row.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The batch was made without a signal that a term, a surrogate or a correction reads.
    #[error("`{term}` reads the signal {signal}, which this batch does not carry")]
    Missing {
        /// What reads it.
        term: &'static str,
        /// The absent signal.
        signal: Signal,
    },
    /// Two lengths that must agree do not.
    #[error("{what} should have length {expected}, but has {found}")]
    Length {
        /// Which list or tensor.
        what: String,
        /// What it must be.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// An error of the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// Whether the recipe, not the program, is at fault (exit code 2).
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Config { .. })
    }
}
