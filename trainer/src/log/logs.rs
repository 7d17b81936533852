//! The files of a run that grow with it.

use super::{Events, JsonLines};
use crate::Result;
use crate::run_dir::RunDir;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a run writes down as it goes; on all ranks but one, nothing.
#[derive(Debug)]
pub(crate) struct Logs {
    pub metrics: JsonLines,
    pub completions: JsonLines,
    pub answers: JsonLines,
    pub events: Events,
}

impl Logs {
    /// Those of `run` after `step` steps, on a rank that `writes`: it drops what a run that was killed left behind.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(run: &RunDir, step: u64, writes: bool) -> Result<Self> {
        let none = JsonLines::elsewhere;
        if !writes {
            let (metrics, completions, answers) = (none(), none(), none());
            return Ok(Self { metrics, completions, answers, events: Events::elsewhere() });
        }
        Ok(Self {
            metrics: JsonLines::open(&run.metrics(), step)?,
            completions: JsonLines::open(&run.completions(), step)?,
            answers: JsonLines::open(&run.evaluations(), step)?,
            events: Events::create(run.path(), now())?,
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
