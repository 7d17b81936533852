//! `[[eval]]`: what is measured on the way. Knows no metric.

use super::DataRecipe;
use super::view::middle;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One `[[eval]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalRecipe {
    /// A task by name.
    pub task: String,
    /// Where its files lie; `data.path` if it is the same task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// As [`DataRecipe::found`].
    #[serde(skip)]
    pub found: Option<PathBuf>,
    /// Corruptions, besides the clean images.
    #[serde(default)]
    pub corruptions: Vec<String>,
    /// Their severities, 1 to 5.
    #[serde(default = "middle")]
    pub severities: Vec<u8>,
    /// At most this many questions of the test split, the first ones.
    #[serde(default = "five_hundred")]
    pub limit: usize,
}

impl EvalRecipe {
    /// The files that are read, where training reads `data`.
    pub fn files<'a>(&'a self, data: &'a DataRecipe) -> Option<&'a Path> {
        let own = self.found.as_deref().or(self.path.as_deref());
        own.or_else(|| data.files().filter(|_| self.task == data.task))
    }
}

fn five_hundred() -> usize {
    500
}
