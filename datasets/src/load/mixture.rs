//! Which samples come next. The whole state is a [`Cursor`]: a run that stores it goes on where it stopped.

use super::shuffle::{mix, permuted};
use crate::{Error, Result, Split, Task};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// A task and its share of the draws.
#[derive(Clone, Debug)]
pub struct Part {
    /// Where samples come from.
    pub task: Arc<dyn Task>,
    /// Its share, relative to the other parts'.
    pub weight: f64,
}

/// How far a mixture has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Draws from each part.
    pub taken: Vec<u64>,
}

/// One draw: the samples about one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Which part.
    pub part: usize,
    /// The samples, side by side in the task.
    pub indices: Range<usize>,
    /// How often the part has been gone through before.
    pub epoch: u64,
}

/// Tasks mixed by weight, each in a seeded order that changes every epoch.
#[derive(Debug)]
pub struct Mixture {
    parts: Vec<Part>,
    /// The runs of samples that share an image, for each part.
    groups: Vec<Vec<Range<usize>>>,
    seed: u64,
}

impl Mixture {
    /// Mixes the `split` of `parts`. With `grouped`, a draw is all samples about one image; without, it is one sample.
    ///
    /// # Errors
    /// There is no part, a weight is not positive, or a task has no such split.
    pub fn new(parts: Vec<Part>, split: Split, seed: u64, grouped: bool) -> Result<Self> {
        if parts.is_empty() {
            return Err(Error::Invalid("a mixture of nothing".into()));
        }
        for part in &parts {
            let (name, weight) = (part.task.name(), part.weight);
            if !(weight > 0. && weight.is_finite()) {
                return Err(Error::Invalid(format!("task `{name}`: weight {weight} is not above 0")));
            }
            if part.task.is_empty(split) {
                return Err(Error::Invalid(format!(
                    "task `{name}` has no samples in split {}",
                    split.name()
                )));
            }
        }
        let groups = parts.iter().map(|p| groups(p.task.as_ref(), split, grouped)).collect();
        Ok(Self { parts, groups, seed })
    }

    /// The parts, in the order given.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The next draw after `cursor`, which moves on. The part is the one furthest behind its share, so shares hold after
    /// any number of draws and not on average only.
    pub fn next(&self, cursor: &mut Cursor) -> Draw {
        cursor.taken.resize(self.parts.len(), 0);
        let behind = |k: &usize| (cursor.taken[*k] as f64 + 1.) / self.parts[*k].weight;
        let part = (0..self.parts.len()).min_by(|a, b| behind(a).total_cmp(&behind(b))).unwrap_or(0);
        let groups = &self.groups[part];
        let n = groups.len() as u64;
        let (epoch, place) = (cursor.taken[part] / n, cursor.taken[part] % n);
        cursor.taken[part] += 1;
        let key = mix(self.seed ^ mix(part as u64) ^ mix(mix(epoch)));
        Draw { part, indices: groups[permuted(place, n, key) as usize].clone(), epoch }
    }
}

fn groups(task: &dyn Task, split: Split, grouped: bool) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    let mut last = None;
    for i in 0..task.len(split) {
        let image = task.image_of(split, i);
        match out.last_mut() {
            Some(run) if grouped && last == Some(image) => run.end = i + 1,
            _ => out.push(i..i + 1),
        }
        last = Some(image);
    }
    out
}
