//! `[data]`: what is trained on. Knows no task.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// A task by name.
    pub task: String,
    /// Where its files lie, for a task that has files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The part that is trained on: `train` or `test`.
    pub split: String,
    /// At most this many samples of it, the first ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Side in pixels of a drawn image, where the task draws its images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self { task: "shapes".into(), path: None, split: "train".into(), limit: None, size: None }
    }
}
