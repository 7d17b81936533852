//! What can go wrong between a directory and a log-probability, sorted by who is at fault.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the vision crate.
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
    /// A file is not the JSON it should be.
    #[error("{path}: {source}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        source: serde_json::Error,
    },
    /// A value is not what it must be: the user's input is at fault.
    #[error("{place}: `{field}` should be {expected}, but is {found}")]
    Input {
        /// The file, row or prompt.
        place: String,
        /// The field, tensor or key.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// An image that cannot be used.
    #[error("image {place}: {reason}")]
    Image {
        /// The path or name of the image.
        place: String,
        /// Why not, with the limit and the value where it is over one.
        reason: String,
    },
    /// A chat template or tokenizer that cannot be used.
    #[error("{place}: {reason}")]
    Text {
        /// The file.
        place: String,
        /// Why not.
        reason: String,
    },
    /// An error of the tensor library.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// A value that differs from what it must be.
    pub fn input(
        place: impl ToString,
        field: impl ToString,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Input {
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
        !matches!(self, Self::Tensor(_))
    }
}
