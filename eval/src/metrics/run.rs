//! Records that belong together: one model on one task, asked one way.

use crate::record::{Record, Verdict};
use std::collections::BTreeMap;

/// What tells two runs apart.
type Identity<'a> = (&'a str, &'a str, u32, &'a str, Option<[u64; 2]>, u64, &'a str);

/// The records of one model on one task, asked one way, in all kinds of picture.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// As in every one of its records: task, version, model, sampling, pixels, seed, scale.
    pub first: &'a Record,
    /// All of them.
    pub records: Vec<&'a Record>,
}

/// The runs in `records`, sorted by task, version, model and settings.
pub fn runs(records: &[Record]) -> Vec<Run<'_>> {
    let mut found: BTreeMap<Identity<'_>, Run<'_>> = BTreeMap::new();
    for record in records {
        let run = found.entry(identity(record)).or_insert_with(|| Run { first: record, records: vec![] });
        run.records.push(record);
    }
    found.into_values().collect()
}

fn identity(record: &Record) -> Identity<'_> {
    (&record.task, &record.model, record.version, &record.sampling, record.pixels, record.seed, &record.scale)
}

impl<'a> Run<'a> {
    /// The records of clean pictures.
    pub fn clean(&self) -> Vec<&'a Record> {
        self.records.iter().copied().filter(|record| record.is_clean()).collect()
    }

    /// The records of each corruption at each severity, by name and severity.
    pub fn corrupted(&self) -> BTreeMap<(&'a str, u8), Vec<&'a Record>> {
        let mut cells: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in &self.records {
            if let Some(name) = &record.corruption {
                cells.entry((name.as_str(), record.severity)).or_default().push(*record);
            }
        }
        cells
    }

    /// The accuracy of blind guessing at the clean questions, where it is known of every one.
    pub fn chance(&self) -> Option<f64> {
        let all: Option<Vec<f64>> = self.clean().iter().map(|record| record.chance).collect();
        crate::stats::mean(&all?)
    }
}

/// What makes two records answers to the same question, whatever the picture and whoever answers.
pub(super) fn question(record: &Record) -> (&str, &str) {
    (&record.sample, &record.prompt)
}

/// Each record of `others` beside the answer of `base` to the same question, where both came.
pub(super) fn paired<'a>(base: &[&'a Record], others: &[&'a Record]) -> Vec<[&'a Record; 2]> {
    let came = |record: &&&Record| record.outcome != Verdict::Failed;
    let known: BTreeMap<_, _> = base.iter().filter(came).map(|record| (question(record), *record)).collect();
    let pair = |other: &&'a Record| known.get(&question(other)).map(|base| [*base, *other]);
    others.iter().filter(came).filter_map(pair).collect()
}
