//! What can go wrong with an evaluation as a whole; a single call that fails is a record.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or line that is not what it should be.
    #[error("{place}: {message}")]
    Line {
        /// The file, and the line where there is one.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// A value is not what it must be.
    #[error("{place}: `{field}` should be {expected}, but is {found}")]
    Differs {
        /// The file, row or command line.
        place: String,
        /// The field.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The work failed.
    #[error("{0}")]
    Work(String),
    /// An error of the data.
    #[error(transparent)]
    Data(#[from] foveate_datasets::Error),
    /// An error of a corruption.
    #[error(transparent)]
    Corruption(#[from] foveate_augment::Error),
    /// An error of the model.
    #[error(transparent)]
    Model(#[from] foveate_vision::Error),
}

impl Error {
    /// A value that differs from what it must be.
    pub fn differs(
        place: impl ToString,
        field: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Differs {
            place: place.to_string(),
            field: field.to_string(),
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// For `map_err` on operations with the file at `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Whether the user's input, not the program, is at fault (exit code 2).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Model(error) => error.is_input(),
            Self::Work(_) => false,
            _ => true,
        }
    }
}
