//! `[model]`: which model, and what of it is trained. Knows no file of it.

use crate::Result;
use foveate_vision::lora::LoraConfig;
use foveate_vision::models::{Part, Placement};
use foveate_vision::tiny::TinySpec;
use serde::{Deserialize, Serialize};
use std::ops::Not;
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
    /// The parts that are trained: all of them where nothing is said, none beside an adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<Vec<PartName>>,
    /// An adapter that is trained further, instead of the model: a directory, or a name on the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Where it lies, for a name on the hub. No word of the file.
    #[serde(skip)]
    pub adapter_found: Option<PathBuf>,
    /// Recompute activations in the backward pass instead of keeping them.
    #[serde(skip_serializing_if = "Not::not")]
    pub checkpointing: bool,
    /// Where it computes: `cpu`, `cuda` or `cuda:N`; on the CPU where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The number of the GPU that `cuda` means: of several ranks on a machine each has its own; whoever starts the run
    /// says which. No word of the file.
    #[serde(skip)]
    pub gpu: usize,
    /// In which numbers, `f32` or `bf16`; `f32` where nothing is said. The optimiser keeps f32 masters of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// A new adapter, trained instead of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

impl Default for ModelRecipe {
    fn default() -> Self {
        Self {
            path: "tiny".into(),
            found: None,
            patch_size: None,
            train: None,
            adapter: None,
            adapter_found: None,
            checkpointing: false,
            device: None,
            gpu: 0,
            dtype: None,
            lora: None,
        }
    }
}

impl ModelRecipe {
    /// The directory of the model that is read.
    pub fn dir(&self) -> &Path {
        self.found.as_deref().unwrap_or(&self.path)
    }

    /// Where it computes, and in which numbers.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn placement(&self) -> Result<Placement> {
        let device = match self.device.as_deref() {
            Some("cuda") => format!("cuda:{}", self.gpu),
            device => device.unwrap_or("cpu").into(),
        };
        Ok(Placement::named("model", &device, self.dtype.as_deref().unwrap_or("f32"))?)
    }

    /// The directory of the adapter that is trained further.
    pub fn adapter_dir(&self) -> Option<&Path> {
        self.adapter_found.as_deref().or(self.adapter.as_deref())
    }

    /// Whether an adapter is trained and the model is not.
    pub fn adapts(&self) -> bool {
        self.lora.is_some() || self.adapter.is_some()
    }

    /// The parts of the model that are trained.
    pub fn trained(&self) -> &[PartName] {
        match &self.train {
            Some(parts) => parts,
            None if self.adapts() => &[],
            None => &PartName::ALL,
        }
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
#[serde(rename_all = "snake_case")]
pub enum PartName {
    /// The vision tower.
    Vision,
    /// What turns patches into tokens.
    Merger,
    /// The layers of the language model and its last norm.
    Text,
    /// The token embeddings; the head too, where it is the same matrix.
    Embeddings,
    /// The output projection, where it is a matrix of its own.
    LmHead,
}

impl PartName {
    /// Every part.
    pub const ALL: [Self; 5] = [Self::Vision, Self::Merger, Self::Text, Self::Embeddings, Self::LmHead];
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Self {
        match name {
            PartName::Vision => Self::Vision,
            PartName::Merger => Self::Merger,
            PartName::Text => Self::Text,
            PartName::Embeddings => Self::Embeddings,
            PartName::LmHead => Self::LmHead,
        }
    }
}
