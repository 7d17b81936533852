//! MathVista's three scorers, as far as they go without their judge.
//!
//! All take a response that is an answer as it stands, and ask a language model about any other.

use super::{Reading, can_infer, lettered, python};
use foveate_datasets::Sample;
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

static QUICK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"The answer is "(.*)"\."#).ok());
static BRACKETED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\(([a-zA-Z])\)").ok());

/// The authors' `extract_answer` and `normalize_extracted_answer`.
pub(super) fn official(sample: &Sample, response: &str) -> Reading {
    let precision = precision(sample).map(|places| places.trunc().max(0.) as usize);
    normalise(sample, as_it_stands(sample, response), precision)
}

/// The same with `--quick_extract`: `The answer is "…".` is read, too.
pub(super) fn official_quick(sample: &Sample, response: &str) -> Reading {
    let quick = || QUICK.as_ref()?.captures(response).map(|found| found[1].to_owned());
    let precision = precision(sample).map(|places| places.trunc().max(0.) as usize);
    normalise(sample, as_it_stands(sample, response).or_else(quick), precision)
}

/// lmms-eval strips the response. It rounds to a precision that the data give as `1.0`, which Python refuses, so that
/// no decimal number is ever right.
pub(super) fn lmms_eval(sample: &Sample, response: &str) -> Reading {
    let whole = sample.meta.get("precision").and_then(Value::as_u64).map(|places| places as usize);
    normalise(sample, as_it_stands(sample, python::strip(response)), whole)
}

/// VLMEvalKit's `post_check`: options by `can_infer`; a number only if it is the right one, and not nought, which it
/// takes for nothing found.
pub(super) fn vlmevalkit(sample: &Sample, response: &str) -> Reading {
    let same = |value: Option<f64>| value.filter(|&v| v != 0. && Some(v) == python::float(&sample.answer));
    match kind(sample) {
        ("multi_choice", _) => can_infer::infer(sample, response).map_or(Reading::Judge, Reading::Said),
        (_, "integer") => match python::int(response) {
            Some(said) if said != "0" && Some(&said) == python::int(&sample.answer).as_ref() => {
                Reading::Said(said)
            }
            _ => Reading::Judge,
        },
        (_, "float") => {
            same(python::float(response)).map_or(Reading::Judge, |v| Reading::Said(python::repr(v)))
        }
        _ => Reading::Judge,
    }
}

/// The authors compare texts.
pub(super) fn is_answer(sample: &Sample, said: &str) -> bool {
    sample.answer == said
}

/// lmms-eval compares them without white space around.
pub(super) fn is_stripped(sample: &Sample, said: &str) -> bool {
    python::strip(&sample.answer) == python::strip(said)
}

/// VLMEvalKit: a number that was found is right; a letter must be that of the answer, read by `can_infer` once more.
pub(super) fn is_found(sample: &Sample, said: &str) -> bool {
    match kind(sample) {
        ("multi_choice", _) => {
            let right = lettered(sample).find(|(_, text)| *text == sample.answer).map(|(letter, _)| letter);
            can_infer::infer(sample, said) == right
        }
        _ => true,
    }
}

fn kind(sample: &Sample) -> (&str, &str) {
    let text = |key: &str| sample.meta.get(key).and_then(Value::as_str).unwrap_or("");
    (text("question_type"), text("answer_type"))
}

fn precision(sample: &Sample) -> Option<f64> {
    sample.meta.get("precision").and_then(Value::as_f64)
}

/// The answer that a response is, without looking for one in it.
fn as_it_stands(sample: &Sample, response: &str) -> Option<String> {
    match kind(sample) {
        _ if response.is_empty() => Some(String::new()),
        ("multi_choice", _) if sample.choices.iter().any(|text| text == response) => {
            Some(response.to_owned())
        }
        (_, "integer") => python::int(response),
        (_, "float") => python::float(response).map(python::repr),
        _ => None,
    }
}

fn normalise(sample: &Sample, found: Option<String>, places: Option<usize>) -> Reading {
    let Some(found) = found else { return Reading::Judge };
    let normal = match kind(sample) {
        ("multi_choice", _) => option(sample, &found),
        (_, "integer") => python::float(&found).and_then(python::truncated),
        (_, "float") => {
            places.and_then(|places| Some(python::repr(python::round(python::float(&found)?, places))))
        }
        _ => Some(found),
    };
    normal.map_or(Reading::Nothing, Reading::Said)
}

/// The text of the option that a letter names, or to which the fewest edits lead.
fn option(sample: &Sample, found: &str) -> Option<String> {
    let found = python::strip(found);
    let letter = BRACKETED.as_ref()?.captures(found).map(|found| found[1].to_uppercase());
    let found = letter.as_deref().unwrap_or(found);
    let named = lettered(sample).find(|(letter, _)| letter == found).map(|(_, text)| text);
    let nearest =
        || sample.choices.iter().min_by_key(|text| python::distance(found, text)).map(String::as_str);
    named.or_else(nearest).map(str::to_owned)
}
