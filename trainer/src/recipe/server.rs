//! `[rollout.server]`: the server that samples, where `rollout.engine` is `server`.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[rollout.server]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerRecipe {
    /// Where it is: `http://HOST:PORT`.
    pub url: String,
    /// The model's name there; the only one that it serves where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The environment variable that holds its key, if it wants one.
    pub key_env: String,
    /// How it gets new weights.
    pub sync: SyncName,
    /// Where weights are written for it; `served` in the run directory where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The same directory as the server sees it, where that is another path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_dir: Option<PathBuf>,
    /// Calls at once.
    pub concurrency: usize,
    /// Seconds after which a call has failed.
    pub timeout: f64,
    /// Seconds for which the server may be away before the run stops.
    pub deadline: f64,
    /// How far the server's log-probabilities of the probe may be from the trainer's, in nats on the mean.
    pub tolerance: f64,
}

impl Default for ServerRecipe {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: None,
            key_env: "OPENAI_API_KEY".into(),
            sync: SyncName::Auto,
            dir: None,
            server_dir: None,
            concurrency: 16,
            timeout: 300.0,
            deadline: 600.0,
            tolerance: 0.05,
        }
    }
}

/// How a server gets new weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncName {
    /// The adapter where one is trained, else the whole model.
    Auto,
    /// The adapter, under a name of its own for each version.
    Lora,
    /// The whole model, which the server reads from disk.
    Disk,
    /// The whole model, sent from GPU to GPUs through NCCL.
    Nccl,
}

impl SyncName {
    /// As a recipe says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Lora => "lora",
            Self::Disk => "disk",
            Self::Nccl => "nccl",
        }
    }
}
