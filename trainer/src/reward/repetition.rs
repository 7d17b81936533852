//! A penalty on answers that say one thing over and over: for words and for characters each, a quarter
//! off for every occurrence of one that occurs more than five times, at most 2 off in all.

use super::{Answer, Reward};
use crate::Result;
use foveate_datasets::grade::zone;
use foveate_objectives::Entry;
use serde::Deserialize;
use std::collections::HashMap;
use std::hash::Hash;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "repetition",
    paper: "Q-Hawkeye, arXiv:2601.22920",
    build: |v| Ok(Box::new(serde_json::from_value::<Repetition>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Repetition {}

impl Reward for Repetition {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let text: String = zone(answer.text).chars().filter(|c| !c.is_ascii_punctuation()).collect();
        let words = too_many(text.split_whitespace());
        let letters = too_many(text.chars().filter(|c| !c.is_whitespace()));
        Ok(Some((-0.25 * (words + letters) as f64).max(-2.0)))
    }
}

/// Occurrences of items that occur more than five times.
fn too_many<T: Hash + Eq>(items: impl Iterator<Item = T>) -> usize {
    let mut counts = HashMap::new();
    items.for_each(|item| *counts.entry(item).or_insert(0) += 1);
    counts.into_values().filter(|&count| count > 5).sum()
}
