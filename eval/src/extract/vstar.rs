//! lmms-eval's letter of a V* response: the first of five patterns that fits, in upper case.
//!
//! The first pattern takes any response that begins with a letter from A to D, "Based on …" and "Answer: C" included.

use super::{Reading, python};
use foveate_datasets::Sample;
use regex::Regex;
use std::sync::LazyLock;

/// White space as Python has it.
const S: &str = r"[\s\x1c-\x1f]";

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        "^([A-D])".to_owned(),
        format!("(?:THE{S}+)?(?:ANSWER|CHOICE|OPTION)(?:{S}+IS)?[\\s\\x1c-\\x1f:]+([A-D])"),
        r"\(([A-D])\)".to_owned(),
        format!(r"([A-D]){S}*(?:\.|\)|\])"),
        format!("(?:^|{S})([A-D])(?:{S}|$)"),
    ]
    .iter()
    .filter_map(|pattern| Regex::new(pattern).ok())
    .collect()
});

pub(super) fn lmms_eval(_: &Sample, response: &str) -> Reading {
    let text = python::strip(response).to_uppercase();
    let found = PATTERNS.iter().find_map(|pattern| pattern.captures(&text).map(|found| found[1].to_owned()));
    let letters = || text.chars().filter(|c| ('A'..='D').contains(c));
    match (found, letters().count()) {
        (Some(letter), _) => Reading::Said(letter),
        (None, 1) => letters().next().map_or(Reading::Nothing, |letter| Reading::Said(letter.to_string())),
        (None, _) => Reading::Nothing,
    }
}
