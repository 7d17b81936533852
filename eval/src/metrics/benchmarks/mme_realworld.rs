//! MME-RealWorld: accuracy by task, subtask and category; `Avg` weighs every question alike, `Avg-C` every subtask (the
//! column of that name in the paper's tables); and how often option E was chosen.

use super::Score;
use crate::metrics::Counts;
use crate::record::Record;
use std::collections::BTreeMap;

/// Outcomes, and answers that were E.
#[derive(Clone, Copy, Default)]
struct Tally {
    counts: Counts,
    e: usize,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.counts.add(record.outcome);
        self.e += usize::from(record.parsed.as_deref() == Some("E"));
    }

    fn scores(&self, place: &str, average: &str, out: &mut Vec<Score>) {
        let of = self.counts.came();
        let Some(accuracy) = self.counts.accuracy() else { return };
        let at = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}/{name}") };
        out.push(Score::new(at(average), accuracy, of));
        out.push(Score::new(at("E-rate"), self.e as f64 / of as f64, of));
        out.extend(self.counts.unparsed_share().map(|share| Score::new(at("unparsed"), share, of)));
    }
}

pub(super) fn scores(records: &[&Record]) -> Vec<Score> {
    let mut tree: BTreeMap<String, BTreeMap<String, BTreeMap<String, Tally>>> = BTreeMap::new();
    for record in records {
        let at = |key| record.field(key).unwrap_or_default();
        let subtasks = tree.entry(at("task")).or_default();
        subtasks.entry(at("subtask")).or_default().entry(category(&at("category"))).or_default().add(record);
    }
    let mut out = Vec::new();
    for (task, subtasks) in &tree {
        let mut means = Vec::new();
        for (subtask, categories) in subtasks {
            let place = format!("{task}/{subtask}");
            for (category, tally) in categories {
                let accuracy = tally.counts.accuracy();
                let name = format!("{place}/{category}");
                out.extend(accuracy.map(|value| Score::new(name, value, tally.counts.came())));
            }
            let whole = sum(categories.values());
            means.extend(whole.counts.accuracy());
            whole.scores(&place, "Avg", &mut out);
        }
        let whole = sum(subtasks.values().flat_map(BTreeMap::values));
        whole.scores(task, "Avg", &mut out);
        let mean = crate::stats::mean(&means);
        out.extend(mean.map(|value| Score::new(format!("{task}/Avg-C"), value, whole.counts.came())));
    }
    sum(tree.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)).scores("", "Overall", &mut out);
    out
}

/// In lower case; the many kinds of attribute are one category.
fn category(name: &str) -> String {
    let lower = name.to_lowercase();
    if !lower.contains("attribute") {
        return lower;
    }
    format!("{}/attribute", lower.split('/').next().unwrap_or(""))
}

fn sum<'a>(tallies: impl Iterator<Item = &'a Tally>) -> Tally {
    let mut out = Tally::default();
    for Tally { counts, e } in tallies {
        out.counts.right += counts.right;
        out.counts.wrong += counts.wrong;
        out.counts.unparsed += counts.unparsed;
        out.counts.failed += counts.failed;
        out.e += e;
    }
    out
}
