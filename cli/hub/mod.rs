//! Words that name a model, an adapter or data, here or on the hub, to paths on this disk.
//!
//! Decides what is fetched of a repository: [`model`], [`adapter`] and [`data`] say which files. What a name
//! looks like and how files come is the crate `foveate-hub`'s; a path that is here is given back as it is, and
//! nothing is asked.

mod bar;
mod data;
mod model;
mod recipe;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

pub use data::{Reader, data, data_here};
use foveate_hub::{Error, Hub, Settings};
pub use model::{Need, adapter, model};
pub use recipe::locate;

use crate::failure::{Failure, Outcome};

/// Where something lies.
#[derive(Debug)]
pub struct Place {
    /// On this disk.
    pub path: PathBuf,
    /// The name on the hub that means just this, for ever; `None` for what was a path.
    pub pinned: Option<String>,
    /// A short name for people; `None` for what was a path.
    pub title: Option<String>,
}

impl Place {
    fn path(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), pinned: None, title: None }
    }
}

/// Whether the work is to stop, for commands that listen.
pub type Stop<'a> = Option<&'a AtomicBool>;

/// The hub that the environment says.
fn open() -> Outcome<Hub> {
    Ok(Hub::new(Settings::from_env()?))
}

/// A failure of the hub about a word that was no path.
fn of_word(word: &str) -> impl Fn(Error) -> Failure {
    move |error| {
        let failure = Failure::from(error);
        match word.starts_with("hf://") {
            true => failure,
            false => {
                failure.help(format!("there is no path `{word}` here, so it was taken for a name on the hub"))
            }
        }
    }
}
