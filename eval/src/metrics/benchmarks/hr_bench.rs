//! HR-Bench: the mean over the cycles of each cycle's accuracy, for all questions, single-instance perception and
//! cross-instance perception.

use super::Score;
use crate::metrics::{Counts, grouped};
use crate::record::Record;
use std::collections::BTreeSet;

pub(super) fn scores(records: &[&Record]) -> Vec<Score> {
    let categories: BTreeSet<String> = records.iter().filter_map(|record| record.field("category")).collect();
    let parts = std::iter::once("all".to_owned()).chain(categories);
    parts.flat_map(|part| of_part(records, &part)).collect()
}

/// Each cycle, then their mean.
fn of_part(records: &[&Record], part: &str) -> Vec<Score> {
    let inside = |record: &&&Record| part == "all" || record.field("category").as_deref() == Some(part);
    let records: Vec<&Record> = records.iter().filter(inside).copied().collect();
    let mut out = Vec::new();
    for group in grouped(&records, "cycle_category") {
        let name = format!("{part}/cycle {}", group.name);
        out.extend(group.accuracy.map(|value| Score::new(name, value, group.counts.came())));
    }
    let cycles: Vec<f64> = out.iter().map(|score| score.value).collect();
    let came = Counts::of(&records).came();
    out.extend(crate::stats::mean(&cycles).map(|mean| Score::new(format!("{part}/average"), mean, came)));
    out
}
