//! What a run leaves behind to be read: `metrics.jsonl`, `completions.jsonl`, TensorBoard events.
//!
//! Decides formats only. A number that is not finite is written as null: JSON has no other word.

mod events;
mod jsonl;
mod logs;

pub use events::Events;
pub use jsonl::{JsonLines, lines};
pub(crate) use logs::{Logs, now};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// Named numbers of one step, in the order they were put.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Sets `name`, replacing an earlier value.
    pub fn put(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, v)) => *v = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds to `name`, which starts at 0.
    pub fn add(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => *v += value,
            None => self.0.push((name.to_string(), value)),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(n, v)| (n.as_str(), *v))
    }

    /// Adds all of `other`, replacing what has the same name.
    pub fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|(n, v)| self.put(n, v));
    }

    /// Means over `all`, each name over those that have it; of names that end in `/max`, the largest.
    pub fn over(all: &[Self]) -> Self {
        let mut merged = Self::default();
        for name in all.iter().flat_map(|m| m.iter().map(|(name, _)| name)) {
            if merged.get(name).is_some() {
                continue;
            }
            let values = || all.iter().filter_map(|m| m.get(name));
            let value = match name.ends_with("/max") {
                true => values().fold(f64::NEG_INFINITY, f64::max),
                false => values().sum::<f64>() / values().count().max(1) as f64,
            };
            merged.put(name, value);
        }
        merged
    }

    /// One line of `metrics.jsonl`.
    pub fn to_json(&self, step: u64, stage: &str) -> Value {
        let mut line = Map::new();
        line.insert("step".into(), step.into());
        line.insert("stage".into(), stage.into());
        for (name, value) in self.iter() {
            line.insert(name.into(), Number::from_f64(value).map_or(Value::Null, Value::Number));
        }
        Value::Object(line)
    }
}

/// Mean and unbiased standard deviation, 0 where they do not exist.
pub fn moments(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}
