//! V*: the accuracy of either category, and of all questions (not the mean of the two).

use super::Score;
use crate::metrics::{Counts, grouped};
use crate::record::Record;

pub(super) fn scores(records: &[&Record]) -> Vec<Score> {
    let mut out = Vec::new();
    for group in grouped(records, "category") {
        out.extend(group.accuracy.map(|value| Score::new(group.name, value, group.counts.came())));
    }
    let all = Counts::of(records);
    out.extend(all.accuracy().map(|value| Score::new("overall", value, all.came())));
    out
}
