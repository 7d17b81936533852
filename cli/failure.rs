//! How a command ends when it does not end well: a message, a help line, an exit code.

use std::fmt::Display;
use std::path::Path;

use miette::Diagnostic;

/// The result of every command.
pub type Outcome<T> = Result<T, Failure>;

/// What is told to the user.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Failure {
    message: String,
    #[help]
    help: Option<String>,
    /// The user's input is at fault, not the work.
    input: bool,
}

impl Failure {
    /// The user's input is at fault.
    pub fn input(message: impl ToString) -> Self {
        Self { message: message.to_string(), help: None, input: true }
    }

    /// The work failed.
    pub fn work(message: impl ToString) -> Self {
        Self { message: message.to_string(), help: None, input: false }
    }

    /// A value of the user's that is not what it must be, in the words of the libraries.
    pub fn differs(place: impl Display, field: &str, expected: impl Display, found: impl Display) -> Self {
        Self::input(format!("{place}: `{field}` should be {expected}, but is {found}"))
    }

    /// For `map_err` on operations with the file at `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::input(format!("{path}: {source}"))
    }

    /// The same failure at a place.
    pub fn at(self, place: impl Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// The same failure with a line on what to do.
    pub fn help(self, help: impl ToString) -> Self {
        Self { help: Some(help.to_string()), ..self }
    }

    /// 1 or 2.
    pub fn exit_code(&self) -> u8 {
        if self.input { 2 } else { 1 }
    }
}

impl From<foveate_vision::Error> for Failure {
    fn from(error: foveate_vision::Error) -> Self {
        Self { message: error.to_string(), help: None, input: error.is_input() }
    }
}

impl From<foveate_eval::Error> for Failure {
    fn from(error: foveate_eval::Error) -> Self {
        Self { message: error.to_string(), help: None, input: error.is_input() }
    }
}

impl From<foveate_hub::Error> for Failure {
    fn from(error: foveate_hub::Error) -> Self {
        Self { message: error.to_string(), help: None, input: error.is_input() }
    }
}

impl From<foveate_trainer::Error> for Failure {
    fn from(error: foveate_trainer::Error) -> Self {
        Self { message: error.to_string(), help: None, input: error.is_input() }
    }
}

impl From<foveate_augment::Error> for Failure {
    fn from(error: foveate_augment::Error) -> Self {
        Self::input(error)
    }
}

impl From<foveate_datasets::Error> for Failure {
    fn from(error: foveate_datasets::Error) -> Self {
        Self { message: error.to_string(), help: None, input: error.is_input() }
    }
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self::work(error)
    }
}
