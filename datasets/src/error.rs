//! What can be wrong with what a user brings. A message names the file, the row and the field, and where two values
//! differ, both.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why data could not be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A whole file is not what it should be.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// One row of a file is at fault.
    #[error("{file}, row {row}, field `{field}`: {message}")]
    Row {
        /// The file's name.
        file: String,
        /// Zero-based row number.
        row: u64,
        /// The column or key.
        field: String,
        /// What is wrong, with the values that differ.
        message: String,
    },
    /// An image cannot be decoded, or is larger than the limits.
    #[error("image {place}: {message}")]
    Image {
        /// The file, or the row and field that held the bytes.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The caller asked for an end; the work can be taken up again.
    #[error("stopped after {rows} rows; the same command goes on from there")]
    Stopped {
        /// Rows worked off, in this run or before.
        rows: u64,
    },
    /// A name that no table has, an option that does not fit, an index outside the split.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// Whether the user's input is at fault, and not the machine or the wish to stop.
    pub fn is_input(&self) -> bool {
        use std::io::ErrorKind::{
            FileTooLarge, Interrupted, OutOfMemory, QuotaExceeded, StorageFull, WriteZero,
        };
        match self {
            Self::Stopped { .. } => false,
            Self::Io { source, .. } => {
                let machine = [FileTooLarge, Interrupted, OutOfMemory, QuotaExceeded, StorageFull, WriteZero];
                !machine.contains(&source.kind())
            }
            _ => true,
        }
    }

    /// An [`Error::Io`] at `path`, for `map_err`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::File`] at `path`.
    pub fn file(path: impl AsRef<Path>, message: impl std::fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), message: message.to_string() }
    }
}
