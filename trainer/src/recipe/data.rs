//! `[data]`: what is trained on. Knows no task.

use serde::{Deserialize, Serialize};
use std::ops::Not;
use std::path::{Path, PathBuf};

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// A task by name.
    pub task: String,
    /// Where its files lie, for a task that has files; or a name on the hub (`ORG/NAME@SPLIT:REVISION`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where they lie, for a name on the hub; whoever starts the run finds it. No word of the file.
    #[serde(skip)]
    pub found: Option<PathBuf>,
    /// The part that is trained on: `train` or `test`.
    pub split: String,
    /// At most this many samples of it, the first ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Drop samples until no answer to a question, by its wording, is more frequent than another: what can be
    /// guessed without the image is then worth no more than chance.
    #[serde(skip_serializing_if = "Not::not")]
    pub balance: bool,
    /// Side in pixels of a drawn image, where the task draws its images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

impl Default for DataRecipe {
    fn default() -> Self {
        let (task, split) = ("shapes".into(), "train".into());
        Self { task, path: None, found: None, split, limit: None, balance: false, size: None }
    }
}

impl DataRecipe {
    /// The files that are read.
    pub fn files(&self) -> Option<&Path> {
        self.found.as_deref().or(self.path.as_deref())
    }
}
