//! What a checkpoint holds: a Hugging Face model directory (of a run that trains an adapter: the adapter), and `trainer/` with all that a run needs to go
//! on as if it had never stopped. Every draw is a function of the step, so that is little.

use crate::optim::{AdamW, Complete};
use crate::policy::LocalPolicy;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Steps done, over both stages.
    pub step: u64,
    /// Updates lost to numbers that were not finite.
    pub skipped: u64,
    /// The run's seed, from which every draw follows.
    pub seed: u64,
    /// Samples drawn for rollouts so far: the data cursor, told for people; the step decides it.
    pub samples: u64,
    /// The best evaluation so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// The evaluation that was best by the recipe's metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Its step; the checkpoint of it is kept.
    pub step: u64,
    /// The metric's value.
    pub value: f64,
}

fn trainer(dir: &Path) -> PathBuf {
    dir.join("trainer")
}

/// Fills `dir`. What it holds does not depend on the number of ranks: `complete` brings together the parts of
/// the optimiser's state.
///
/// # Errors
/// Those of the file system; a lost rank.
pub(crate) fn write(
    dir: &Path,
    policy: &LocalPolicy,
    (optim, complete): (&AdamW, Complete<'_>),
    progress: &Progress,
) -> Result<()> {
    policy.save(dir)?;
    let own = trainer(dir);
    std::fs::create_dir_all(&own).map_err(Error::io(&own))?;
    optim.save_whole(&own.join("optimizer.safetensors"), complete)?;
    let path = own.join("progress.json");
    let text = serde_json::to_string_pretty(progress).map_err(|e| Error::run(&path, e))?;
    std::fs::write(&path, text + "\n").map_err(Error::io(path))
}

/// Where the run of the checkpoint at `dir` stood.
///
/// # Errors
/// The file is missing or is not what [`write`] wrote.
pub fn progress(dir: &Path) -> Result<Progress> {
    let path = trainer(dir).join("progress.json");
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text).map_err(|e| Error::run(path, e))
}

/// Gives `optim` the state of the checkpoint at `dir`.
///
/// # Errors
/// As [`AdamW::load`].
pub fn restore(dir: &Path, optim: &mut AdamW) -> Result<()> {
    optim.load(&trainer(dir).join("optimizer.safetensors"))
}
