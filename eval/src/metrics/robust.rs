//! What corruption costs a model, over many cells, each number with an interval.
//!
//! Intervals are percentile bootstraps over pictures: the answers about one picture, in all its corruptions, are drawn
//! together.

use super::cell::{breaks, flips};
use super::run::{Run, paired, question};
use crate::record::{Record, Verdict};
use crate::stats::{Bootstrap, Interval, mean};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A number and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The number.
    pub value: f64,
    /// Its interval; `None` where too few draws define it.
    pub interval: Option<Interval>,
}

/// What corruption costs, over the cells of a run or over part of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Robustness {
    /// Cells: corruptions times severities.
    pub cells: usize,
    /// Accuracy on clean pictures.
    pub clean: Measure,
    /// The mean over cells of the accuracy (mPC).
    pub corrupted: Measure,
    /// `corrupted / clean` (rPC): 1 loses nothing.
    pub retention: Option<Measure>,
    /// The same of what either has beyond blind guessing.
    pub retention_beyond_chance: Option<Measure>,
    /// The cell with the lowest accuracy, and that.
    pub worst_cell: (String, f64),
    /// The corruption with the lowest mean over its severities, and that.
    pub worst_corruption: (String, f64),
    /// The share of questions that are right on the clean picture and in every cell.
    pub always_right: Measure,
    /// The share of questions that get one and the same answer on the clean picture and in every cell.
    pub consistency: Measure,
    /// The share of answers that differ from the clean one.
    pub flip: Measure,
    /// The share of answers that are no longer right.
    #[serde(rename = "break")]
    pub broken: Measure,
    /// The share of answers that became right.
    pub fix: Measure,
}

impl Robustness {
    /// Over the cells whose records `part` takes; `None` without clean pictures or without such a cell.
    pub fn of(run: &Run, bootstrap: &Bootstrap, part: impl Fn(&Record) -> bool) -> Option<Self> {
        let mut cells = run.corrupted();
        cells.retain(|_, records| records.first().is_some_and(|record| part(record)));
        let table = Table::new(&run.clean(), &cells)?;
        let measure = |of: &(dyn Fn(&[u32]) -> Option<f64> + Sync)| {
            let value = of(&vec![1; table.images.len()])?;
            Some(Measure { value, interval: bootstrap.interval(table.images.len(), of) })
        };
        let retention = |w: &[u32], chance: f64| {
            let clean = table.clean(w)? - chance;
            (clean > 0.).then(|| table.corrupted(w).map(|corrupted| (corrupted - chance) / clean)).flatten()
        };
        let beyond = run.chance().and_then(|chance| measure(&|w| retention(w, chance)));
        let (worst_cell, worst_corruption) = worst(&cells)?;
        Some(Self {
            cells: cells.len(),
            clean: measure(&|w| table.clean(w))?,
            corrupted: measure(&|w| table.corrupted(w))?,
            retention: measure(&|w| retention(w, 0.)),
            retention_beyond_chance: beyond,
            worst_cell,
            worst_corruption,
            always_right: measure(&|w| table.share(w, |image| (image.always, image.questions)))?,
            consistency: measure(&|w| table.share(w, |image| (image.constant, image.questions)))?,
            flip: measure(&|w| table.share(w, |image| (image.flips, image.pairs)))?,
            broken: measure(&|w| table.share(w, |image| (image.breaks, image.pairs)))?,
            fix: measure(&|w| table.share(w, |image| (image.fixes, image.pairs)))?,
        })
    }
}

/// What one picture adds to every number.
#[derive(Clone, Debug, Default)]
struct Image {
    /// Right answers and answers that came: the clean picture, then each cell.
    accuracy: Vec<(u32, u32)>,
    /// Questions with an answer everywhere.
    questions: u32,
    always: u32,
    constant: u32,
    pairs: u32,
    flips: u32,
    breaks: u32,
    fixes: u32,
}

struct Table {
    images: Vec<Image>,
    cells: usize,
}

impl Table {
    fn new(clean: &[&Record], cells: &BTreeMap<(&str, u8), Vec<&Record>>) -> Option<Self> {
        if clean.is_empty() || cells.is_empty() {
            return None;
        }
        let mut images: BTreeMap<&str, Image> = BTreeMap::new();
        for (at, records) in std::iter::once(&clean.to_vec()).chain(cells.values()).enumerate() {
            for record in records.iter().filter(|record| record.outcome != Verdict::Failed) {
                let image = images.entry(&record.image).or_default();
                image.accuracy.resize(cells.len() + 1, (0, 0));
                image.accuracy[at].0 += u32::from(record.outcome == Verdict::Right);
                image.accuracy[at].1 += 1;
            }
            for [before, now] in paired(clean, if at == 0 { &[] } else { records }) {
                let image = images.entry(&now.image).or_default();
                image.pairs += 1;
                image.flips += u32::from(flips(before, now));
                image.breaks += u32::from(breaks(before, now));
                image.fixes += u32::from(breaks(now, before));
            }
        }
        everywhere(clean, cells, &mut images);
        Some(Self { images: images.into_values().collect(), cells: cells.len() })
    }

    fn accuracy(&self, w: &[u32], cell: usize) -> Option<f64> {
        self.share(w, |image| image.accuracy.get(cell).copied().unwrap_or_default())
    }

    fn clean(&self, w: &[u32]) -> Option<f64> {
        self.accuracy(w, 0)
    }

    fn corrupted(&self, w: &[u32]) -> Option<f64> {
        let all: Option<Vec<f64>> = (1..=self.cells).map(|cell| self.accuracy(w, cell)).collect();
        mean(&all?)
    }

    fn share(&self, w: &[u32], part: impl Fn(&Image) -> (u32, u32)) -> Option<f64> {
        let (mut some, mut all) = (0u64, 0u64);
        for (image, &times) in self.images.iter().zip(w).filter(|(_, times)| **times > 0) {
            let (hits, of) = part(image);
            some += u64::from(times) * u64::from(hits);
            all += u64::from(times) * u64::from(of);
        }
        (all > 0).then(|| some as f64 / all as f64)
    }
}

/// Counts the questions that have an answer on the clean picture and in every cell.
fn everywhere<'a>(
    clean: &[&'a Record],
    cells: &BTreeMap<(&str, u8), Vec<&'a Record>>,
    images: &mut BTreeMap<&'a str, Image>,
) {
    let mut answers: BTreeMap<(&str, &str), Vec<&Record>> = BTreeMap::new();
    for record in clean.iter().chain(cells.values().flatten()) {
        if record.outcome != Verdict::Failed {
            answers.entry(question(record)).or_default().push(record);
        }
    }
    for records in answers.values().filter(|records| records.len() == cells.len() + 1) {
        let image = images.entry(&records[0].image).or_default();
        let said: BTreeSet<_> = records.iter().map(|record| &record.parsed).collect();
        image.questions += 1;
        image.always += u32::from(records.iter().all(|record| record.outcome == Verdict::Right));
        image.constant += u32::from(said.len() == 1);
    }
}

type Named = (String, f64);

/// The worst cell and the worst corruption.
fn worst(cells: &BTreeMap<(&str, u8), Vec<&Record>>) -> Option<(Named, Named)> {
    let mut by_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut low: Option<Named> = None;
    for ((name, severity), records) in cells {
        let Some(accuracy) = super::Counts::of(records).accuracy() else { continue };
        by_name.entry(name).or_default().push(accuracy);
        if low.as_ref().is_none_or(|(_, least)| accuracy < *least) {
            low = Some((format!("{name}-{severity}"), accuracy));
        }
    }
    let means = by_name.into_iter().filter_map(|(name, all)| Some((name.to_owned(), mean(&all)?)));
    Some((low?, means.min_by(|a, b| a.1.total_cmp(&b.1))?))
}
