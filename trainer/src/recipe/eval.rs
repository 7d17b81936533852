//! `[[eval]]`: what is measured on the way. Knows no metric.

use super::view::middle;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One `[[eval]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalRecipe {
    /// A task by name.
    pub task: String,
    /// Where its files lie; `data.path` if it is the same task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
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

fn five_hundred() -> usize {
    500
}
