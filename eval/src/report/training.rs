//! The curves of training runs, from the `metrics.jsonl` of their directories.

use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The file of a run directory.
pub(super) const FILE: &str = "metrics.jsonl";

/// What is shown, in this order; accuracies of evaluations follow.
const SHOWN: [(&str, &str); 8] = [
    ("reward/mean", "mean reward"),
    ("accuracy", "share of right rollouts"),
    ("entropy", "entropy in nats"),
    ("loss/total", "loss"),
    ("kl/reference", "divergence from the reference"),
    ("grad_norm", "norm of the gradient"),
    ("tokens/generated", "tokens generated a step"),
    ("time/step_s", "seconds a step"),
];

/// The numbers of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Training {
    /// The directory's name.
    pub name: String,
    /// Step and value, by metric and stage: steps of the warm-up and of training are counted on.
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Training {
    /// Reads a run directory. A last line without its newline is not read: the run may still be going on.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is no object.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut curves: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for (row, line) in whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let place = || format!("{}:{}", path.display(), row + 1);
            let fields: serde_json::Map<String, Value> = serde_json::from_str(line)
                .map_err(|e| Error::Line { place: place(), message: e.to_string() })?;
            let step = fields.get("step").and_then(Value::as_f64);
            let step = step.ok_or_else(|| Error::differs(place(), "step", "a number", "missing"))?;
            for (key, value) in &fields {
                if let (Some(value), true) = (value.as_f64(), key != "step") {
                    curves.entry(key.clone()).or_default().push((step, value));
                }
            }
        }
        let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, curves })
    }
}

/// The metrics that a page shows of these runs, with words for them.
pub(super) fn shown(runs: &[Training]) -> Vec<(String, String)> {
    let there = |key: &str| runs.iter().any(|run| run.curves.contains_key(key));
    let fixed = SHOWN.iter().filter(|(key, _)| there(key));
    let mut all: Vec<(String, String)> = fixed.map(|(key, word)| ((*key).into(), (*word).into())).collect();
    let keys = runs.iter().flat_map(|run| run.curves.keys());
    let mut measured: Vec<_> =
        keys.filter(|key| key.starts_with("eval/") && key.ends_with("/accuracy")).cloned().collect();
    measured.sort();
    measured.dedup();
    all.extend(measured.into_iter().map(|key| {
        let word = key.trim_start_matches("eval/").trim_end_matches("/accuracy").replace('/', ", ");
        let word = format!("accuracy: {word}");
        (key, word)
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_read_and_broken_lines_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(dir.path().join(FILE), text).unwrap();
        write(
            "{\"step\":1,\"stage\":\"train\",\"reward/mean\":0.5}\n{\"step\":2,\"reward/mean\":0.75,\"eval/a/clean/accuracy\":1}\n{\"st",
        );
        let run = Training::read(dir.path()).unwrap();
        assert_eq!(run.curves["reward/mean"], [(1.0, 0.5), (2.0, 0.75)]);
        let words: Vec<_> = shown(&[run]).into_iter().map(|(_, word)| word).collect();
        assert_eq!(words, ["mean reward", "accuracy: a, clean"]);
        write("{\"reward/mean\":0.5}\n");
        let message = Training::read(dir.path()).unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl:1") && message.contains("step"), "{message}");
    }
}
