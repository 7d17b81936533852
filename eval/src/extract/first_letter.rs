//! MME-RealWorld's letter: the first of A to E anywhere, once some phrases are cut out; else the option in which the
//! whole response occurs, which an empty response always does.

use super::{Reading, lettered, python};
use foveate_datasets::Sample;

/// Cut out one after another, wherever they stand.
const PHRASES: [&str; 8] = [
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
];

/// The official script lacks two commas, so that its last four phrases are two that nobody says.
const OFFICIAL: [&str; 6] = [
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",
    "Best answer:Best option:",
];

/// With the options as they stand in the file.
pub(super) fn official(sample: &Sample, response: &str) -> Reading {
    let written = sample.meta.get("options").and_then(serde_json::Value::as_array);
    let written = written.filter(|_| !sample.meta.contains_key("order"));
    let options: Vec<String> = match written {
        Some(list) => list.iter().filter_map(|option| option.as_str().map(str::to_owned)).collect(),
        None => lettered(sample).map(|(letter, text)| format!("({letter}) {text}")).collect(),
    };
    read(&OFFICIAL, response, &options)
}

/// With bare letters for options, so that an option's text is never found.
pub(super) fn lmms_eval(_: &Sample, response: &str) -> Reading {
    let bare: Vec<String> = ["A", "B", "C", "D", "E"].map(|letter| format!("({letter})")).to_vec();
    read(&PHRASES, response, &bare)
}

/// The first `<answer>` in upper case, where there is one, then as lmms-eval. In upper case no phrase is cut out, and
/// the E of THE is the first letter of "The answer is C".
pub(super) fn vlmevalkit(sample: &Sample, response: &str) -> Reading {
    let inside = response
        .split_once("<answer>")
        .and_then(|(_, rest)| rest.split_once("</answer>"))
        .map(|(inside, _)| python::strip(inside).to_uppercase());
    lmms_eval(sample, inside.as_deref().unwrap_or(response))
}

fn read(phrases: &[&str], response: &str, options: &[String]) -> Reading {
    let mut text = python::strip(response).to_owned();
    for phrase in phrases {
        text = text.replace(phrase, "");
    }
    if let Some(letter) = text.chars().find(|c| ('A'..='E').contains(c)) {
        return Reading::Said(letter.to_string());
    }
    if python::split(&text).len() > 10 {
        return Reading::Nothing;
    }
    let text = text.to_lowercase();
    let found = options.iter().find(|option| option.to_lowercase().contains(&text));
    let letter = found.and_then(|option| option.chars().nth(1));
    letter.map_or(Reading::Nothing, |letter| Reading::Said(letter.to_string()))
}
