//! Whole runs of a very small model: what they read, where they stop, what they leave behind.

use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Stage};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The model that the runs in `dir` start from, made once.
pub fn model(dir: &Path) -> PathBuf {
    let path = dir.join("model");
    if !path.exists() {
        tiny::write(&path, &TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) }).unwrap();
    }
    path
}

/// The words of a command line for the run `out` in `dir`.
pub fn words(dir: &Path, out: &str, more: &[&str]) -> Vec<String> {
    let mut words = vec![
        format!("model.path={:?}", model(dir).to_str().unwrap()),
        format!("out={:?}", dir.join(out).to_str().unwrap()),
    ];
    words.extend(more.iter().map(ToString::to_string));
    words
}

/// Nobody stops.
pub fn go() -> AtomicBool {
    AtomicBool::new(false)
}

/// Stops a run after some step.
pub struct StopAfter<'a>(pub u64, pub &'a AtomicBool);

impl Observer for StopAfter<'_> {
    fn step(&mut self, _: Stage, step: u64, _: &Metrics) {
        self.1.store(step >= self.0, Ordering::Relaxed);
    }
}

/// Where a checkpoint of `run` lies.
pub fn checkpoint(run: &Path, step: u64) -> PathBuf {
    run.join(format!("checkpoints/step-{step:06}"))
}

/// A file of a checkpoint.
pub fn bytes(run: &Path, step: u64, file: &str) -> Vec<u8> {
    let path = checkpoint(run, step).join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
