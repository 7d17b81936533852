//! What can be wrong with a request for a corruption.

/// Why a corruption could not be named, dosed or applied.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// No corruption of that name.
    #[error("unknown corruption `{name}`; known are: {known}")]
    UnknownCorruption {
        /// What was asked for.
        name: String,
        /// Every name in the table.
        known: String,
    },
    /// No list of that name.
    #[error("unknown list of corruptions `{name}`; known are: {known}")]
    UnknownList {
        /// What was asked for.
        name: String,
        /// Every list's name.
        known: String,
    },
    /// A severity out of its range.
    #[error("severity {given} is outside {range}")]
    Severity {
        /// What was asked for.
        given: f32,
        /// The range that is allowed.
        range: &'static str,
    },
}
