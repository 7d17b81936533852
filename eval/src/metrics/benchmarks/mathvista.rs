//! MathVista: the accuracy of all questions and of every group of the authors' keys; a question has several skills.

use super::Score;
use crate::metrics::{Counts, grouped};
use crate::record::Record;

/// In the order of the authors' script.
const KEYS: [&str; 9] =
    ["question_type", "answer_type", "language", "source", "category", "task", "context", "grade", "skills"];

pub(super) fn scores(records: &[&Record]) -> Vec<Score> {
    let all = Counts::of(records);
    let mut out: Vec<Score> =
        all.accuracy().map(|value| Score::new("average", value, all.came())).into_iter().collect();
    for key in KEYS {
        for group in grouped(records, key) {
            let name = format!("{key}/{}", group.name);
            out.extend(group.accuracy.map(|value| Score::new(name, value, group.counts.came())));
        }
    }
    out
}
