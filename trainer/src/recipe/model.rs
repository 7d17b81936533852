//! `[model]`: which model, and what of it is trained. Knows no file of it.

use foveate_vision::tiny::TinySpec;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRecipe {
    /// A Hugging Face model directory, a name on the hub (`ORG/NAME@REVISION`), or `tiny`, a small model made from
    /// the run's seed.
    pub path: PathBuf,
    /// Where it lies, for a name on the hub; whoever starts the run finds it. No word of the file.
    #[serde(skip)]
    pub found: Option<PathBuf>,
    /// Of the model that `tiny` makes: side of a patch in pixels. A token of it sees a square of twice the side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// The parts that are trained.
    pub train: Vec<PartName>,
    /// Recompute activations in the backward pass instead of keeping them.
    pub checkpointing: bool,
}

impl Default for ModelRecipe {
    fn default() -> Self {
        let train = vec![PartName::Vision, PartName::Merger, PartName::Text];
        Self { path: "tiny".into(), found: None, patch_size: None, train, checkpointing: false }
    }
}

impl ModelRecipe {
    /// The directory of the model that is read.
    pub fn dir(&self) -> &Path {
        self.found.as_deref().unwrap_or(&self.path)
    }

    /// The model to be made, `None` where one is read from a directory.
    pub fn tiny(&self) -> Option<TinySpec<'static>> {
        let spec = TinySpec::quickstart();
        let patch_size = self.patch_size.unwrap_or(spec.patch_size);
        (self.path == Path::new("tiny")).then_some(TinySpec { patch_size, ..spec })
    }
}

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartName {
    /// The vision tower.
    Vision,
    /// What turns patches into tokens.
    Merger,
    /// The language model with embedding and head.
    Text,
}
