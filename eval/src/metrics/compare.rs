//! Two models on the same questions: is one better, and where.

use super::run::{Run, paired};
use crate::record::{Record, Verdict};
use crate::stats::{Bootstrap, Interval, holm, mcnemar};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Two runs on the same task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The task.
    pub task: String,
    /// The places of the two in [`super::Summary::runs`].
    pub runs: [usize; 2],
    /// The models: every difference is the second less the first.
    pub models: [String; 2],
    /// By kind of picture: `clean`, `fog-3`, …
    pub cells: BTreeMap<String, Difference>,
    /// Of all corrupted pictures together; `None` where there is none.
    pub corrupted: Option<Difference>,
}

/// A difference of accuracies on the same questions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Questions that both answered.
    pub pairs: usize,
    /// The accuracies.
    pub accuracy: [f64; 2],
    /// The second less the first.
    pub difference: f64,
    /// Its interval, by drawing pictures.
    pub interval: Option<Interval>,
    /// Questions that only the first got right, and only the second.
    pub only: [usize; 2],
    /// McNemar's exact p-value. It takes pairs for independent: with many questions about one picture, or many
    /// corruptions of it, trust the interval.
    pub p: f64,
    /// The same, for as many cells as are compared (Holm); of `corrupted`, the same as `p`.
    pub p_holm: f64,
}

/// Compares `second` with `first`, which stand at `places`; `None` where they share no question.
pub fn compare(places: [usize; 2], [first, second]: [&Run; 2], bootstrap: &Bootstrap) -> Option<Comparison> {
    if (&first.first.task, first.first.version) != (&second.first.task, second.first.version) {
        return None;
    }
    let mut cells = BTreeMap::new();
    let mut pooled = Vec::new();
    let (theirs, ours) = (by_cell(first), by_cell(second));
    for (name, records) in &ours {
        let pairs = theirs.get(name).map(|base| paired(base, records)).unwrap_or_default();
        if records.first().is_some_and(|record| !record.is_clean()) {
            pooled.extend(pairs.iter().copied());
        }
        if let Some(difference) = Difference::of(&pairs, bootstrap) {
            cells.insert(name.clone(), difference);
        }
    }
    let raw: Vec<f64> = cells.values().map(|cell| cell.p).collect();
    cells.values_mut().zip(holm(&raw)).for_each(|(cell, p)| cell.p_holm = p);
    let corrupted = Difference::of(&pooled, bootstrap);
    let models = [first, second].map(|run| run.first.model.clone());
    let task = first.first.task.clone();
    (!cells.is_empty()).then_some(Comparison { task, runs: places, models, cells, corrupted })
}

fn by_cell<'a>(run: &Run<'a>) -> BTreeMap<String, Vec<&'a Record>> {
    let mut out: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in &run.records {
        out.entry(record.cell()).or_default().push(*record);
    }
    out
}

impl Difference {
    /// Of `(first, second)` answers to the same questions.
    fn of(pairs: &[[&Record; 2]], bootstrap: &Bootstrap) -> Option<Self> {
        // Right answers of the first, of the second, and pairs, by picture.
        let mut images: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
        let mut only = [0, 0];
        for pair in pairs {
            let right = pair.map(|record| record.outcome == Verdict::Right);
            let image = images.entry(&pair[0].image).or_default();
            let add = [u32::from(right[0]), u32::from(right[1]), 1];
            image.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
            only[0] += usize::from(right[0] && !right[1]);
            only[1] += usize::from(right[1] && !right[0]);
        }
        let images: Vec<[u32; 3]> = images.into_values().collect();
        let accuracies = |w: &[u32]| {
            let mut sums = [0f64; 3];
            for (image, &times) in images.iter().zip(w) {
                sums.iter_mut().zip(image).for_each(|(sum, &n)| *sum += f64::from(times) * f64::from(n));
            }
            (sums[2] > 0.).then(|| [sums[0] / sums[2], sums[1] / sums[2]])
        };
        let accuracy = accuracies(&vec![1; images.len()])?;
        let gain = |w: &[u32]| accuracies(w).map(|[first, second]| second - first);
        let p = mcnemar(only[0] as u64, only[1] as u64);
        Some(Self {
            pairs: pairs.len(),
            accuracy,
            difference: accuracy[1] - accuracy[0],
            interval: bootstrap.interval(images.len(), gain),
            only,
            p,
            p_holm: p,
        })
    }
}
