//! Accuracy by what questions are filed under.

use super::Counts;
use crate::record::Record;
use crate::stats::Interval;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A facet has at most so many groups; a key with more is a fact of each question.
const MOST_GROUPS: usize = 100;

/// The questions that are filed under one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The name.
    pub name: String,
    /// Outcomes.
    pub counts: Counts,
    /// The accuracy of the answers that came.
    pub accuracy: Option<f64>,
    /// Wilson's interval of it.
    pub interval: Option<Interval>,
}

impl Group {
    /// A group of these outcomes.
    pub fn new(name: impl Into<String>, counts: Counts) -> Self {
        Self { name: name.into(), counts, accuracy: counts.accuracy(), interval: counts.interval() }
    }
}

/// What a record is filed under in `meta.key`: a text, or every text of a list.
pub(super) fn filed<'a>(record: &'a Record, key: &str) -> Vec<&'a str> {
    match record.meta.get(key) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

/// The groups of `records` under `key`, by name.
pub fn grouped(records: &[&Record], key: &str) -> Vec<Group> {
    let mut groups: BTreeMap<&str, Counts> = BTreeMap::new();
    for record in records {
        for name in filed(record, key) {
            groups.entry(name).or_default().add(record.outcome);
        }
    }
    groups.into_iter().map(|(name, counts)| Group::new(name, counts)).collect()
}

/// The keys of `meta` by which `records` fall into groups: texts, at least two, with two questions each on average.
pub fn facets(records: &[&Record]) -> Vec<String> {
    let mut values: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for record in records {
        for key in record.meta.keys() {
            let found = values.entry(key).or_default();
            let filed = filed(record, key);
            found.1 += usize::from(!filed.is_empty());
            found.0.extend(filed);
        }
    }
    let parts = |(names, count): &(BTreeSet<&str>, usize)| {
        (2..=MOST_GROUPS).contains(&names.len()) && 2 * names.len() <= *count
    };
    values.into_iter().filter(|(_, found)| parts(found)).map(|(key, _)| key.to_owned()).collect()
}
