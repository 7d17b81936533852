//! `can_infer` of VLMEvalKit, and of lmms-eval's HR-Bench, which is an older copy: an option's letter that is a word of
//! the response, else the one option whose text occurs in it.

use super::{Reading, lettered, python};
use foveate_datasets::Sample;
use regex::Regex;
use std::sync::LazyLock;

/// Responses with these words are `Z`: no option, and wrong.
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

/// The words of a call that failed in either program: no letter is looked for.
const FAILURE: &str = "Failed to obtain answer via API";

static VERBOSE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:correct[\s\x1c-\x1f]+)?answer[\s\x1c-\x1f]+is[\s\x1c-\x1f]+\**([ABCD])\**").ok()
});

/// Under its `exact_matching` policy: what cannot be read is `Z`.
pub(super) fn vlmevalkit(sample: &Sample, response: &str) -> Reading {
    Reading::Said(infer(sample, response).unwrap_or_else(|| "Z".into()))
}

/// `can_infer` of VLMEvalKit: a letter counts only among the last four words.
pub(super) fn infer(sample: &Sample, response: &str) -> Option<String> {
    let letter = by_letter(sample, response, 4).or_else(|| announced(sample, response));
    let length: usize = sample.choices.iter().map(|text| python::len(text)).sum();
    let short = python::len(&response.to_lowercase()) <= 2 * length;
    letter.or_else(|| short.then(|| by_text(sample, response)).flatten())
}

/// lmms-eval asks a judge where this fails.
pub(super) fn lmms_eval(sample: &Sample, response: &str) -> Reading {
    let response = python::strip(response);
    let found = by_letter(sample, response, usize::MAX).or_else(|| by_text(sample, response));
    found.map_or(Reading::Judge, Reading::Said)
}

/// The only letter of an option that is a word, if it is among the `last` words; `Z` for a refusal.
fn by_letter(sample: &Sample, response: &str, last: usize) -> Option<String> {
    if response.contains(FAILURE) {
        return None;
    }
    if REFUSALS.iter().any(|words| response.contains(words)) {
        return Some("Z".into());
    }
    let spaced: String =
        response.chars().map(|c| if ".()[],:;!*#{}".contains(c) { ' ' } else { c }).collect();
    let words = python::split(&spaced);
    let mut found = lettered(sample).filter(|(letter, _)| words.contains(&letter.as_str()));
    match (found.next(), found.next()) {
        (Some((letter, _)), None) => {
            let at = words.iter().position(|word| *word == letter)?;
            (words.len() - at <= last).then_some(letter)
        }
        (None, _) if words.contains(&"Z") => Some("Z".into()),
        _ => None,
    }
}

/// The letter after the first "answer is", if it is one of the options.
fn announced(sample: &Sample, response: &str) -> Option<String> {
    let blocked = response.contains(FAILURE);
    let found = VERBOSE.as_ref()?.captures(response).filter(|_| !blocked)?[1].to_uppercase();
    lettered(sample).any(|(letter, _)| letter == found).then_some(found)
}

/// The only option whose text occurs, in lower case.
fn by_text(sample: &Sample, response: &str) -> Option<String> {
    let response = response.to_lowercase();
    let mut found = lettered(sample).filter(|(_, text)| response.contains(&text.to_lowercase()));
    let (letter, _) = found.next()?;
    found.next().is_none().then_some(letter)
}
