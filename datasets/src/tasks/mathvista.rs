//! `mathvista`: the 1,000 questions of MathVista's testmini (Lu et al. 2024), graded without a judge.
//!
//! The authors let a language model find the answer in a reply and then compare it; here the answer is found by rule
//! and compared as they do: an option, a whole number, a number rounded to the question's precision, or a list.

use super::benchmark::{self, Protocol, Wording};
use crate::grade::{choice, number, zone};
use crate::{Grade, Sample, TaskEntry};
use serde_json::Value;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: PROTOCOL.name,
    summary: "MathVista testmini: 1,000 questions, graded without a judge (parquet)",
    needs_data: true,
    open: |options| benchmark::open(&PROTOCOL, options),
};

static PROTOCOL: Protocol = Protocol {
    name: "mathvista",
    version: 1,
    formats: &["mathvista"],
    file: |name| name.contains("testmini") || name.contains("mathvista"),
    folder: None,
    settle,
    fixed: 0,
    wordings: &[Wording { name: "official", of: official }, Wording { name: "lmms-eval", of: direct }],
    grade,
};

/// The keys by which the authors' script groups.
const FACETS: &[&str] =
    &["question_type", "answer_type", "language", "source", "category", "task", "context", "grade", "skills"];

/// The groups lie in `metadata`.
fn settle(sample: &mut Sample) -> Result<(), String> {
    for key in FACETS {
        let value = sample.meta.get(*key).or_else(|| sample.meta.get("metadata").and_then(|m| m.get(*key)));
        let value = value.cloned().ok_or_else(|| format!("field `metadata.{key}`: missing"))?;
        sample.meta.insert((*key).into(), value);
    }
    Ok(())
}

/// The published `query`, which holds a hint, the question and its options; it is made anew when options moved.
fn official(sample: &Sample) -> String {
    let query = sample.meta.get("query").and_then(Value::as_str);
    match query {
        Some(query) if !benchmark::is_shuffled(sample) => query.to_owned(),
        _ => {
            let mut parts = vec![hint(sample), format!("Question: {}", with_unit(sample))];
            if !sample.choices.is_empty() {
                let line = |(i, text): (usize, &String)| format!("({}) {text}", choice::letter(i));
                parts.push("Choices:".into());
                parts.extend(sample.choices.iter().enumerate().map(line));
            }
            parts.join("\n")
        }
    }
}

fn hint(sample: &Sample) -> String {
    let (asked, example) = match (kind(sample), precision(sample)) {
        (Kind::Option, _) => {
            return "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the \
                    end."
                .into();
        }
        (Kind::List, _) => {
            return "Hint: Please answer the question requiring a Python list as an answer and provide the final list, \
                    e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end."
                .into();
        }
        (Kind::Integer, _) => ("an integer answer", "1, 2, 3"),
        (Kind::Float, 2) => ("a floating-point number with two decimal places", "1.23, 1.34, 1.45"),
        (Kind::Float, _) => ("a floating-point number with one decimal place", "1.2, 1.3, 1.4"),
    };
    format!(
        "Hint: Please answer the question requiring {asked} and provide the final value, e.g., {example}, at the end."
    )
}

fn with_unit(sample: &Sample) -> String {
    match sample.meta.get("unit").and_then(Value::as_str).filter(|unit| !unit.is_empty()) {
        Some(unit) => format!("{} (Unit: {unit})", sample.problem),
        None => sample.problem.clone(),
    }
}

/// lmms-eval's `format-prompt`: the answer alone is asked for.
fn direct(sample: &Sample) -> String {
    let ask = match (kind(sample), precision(sample)) {
        (Kind::Option, _) => "Answer with the option's letter from the given choices directly.",
        (Kind::Integer, _) => "Answer the question using a single integer number.",
        (Kind::Float, 2) => {
            "Answer the question using a single floating-point number with two decimal places."
        }
        (Kind::Float, _) => {
            "Answer the question using a single floating-point number with one decimal place."
        }
        (Kind::List, _) => "Answer the question using a Python list.",
    };
    let options = benchmark::dotted(sample);
    format!("{}\n{options}{ask}", with_unit(sample))
}

/// What an answer is.
enum Kind {
    Option,
    Integer,
    Float,
    List,
}

fn kind(sample: &Sample) -> Kind {
    let text = |key: &str| sample.meta.get(key).and_then(Value::as_str).unwrap_or("");
    match (text("question_type"), text("answer_type")) {
        ("multi_choice", _) => Kind::Option,
        (_, "integer") => Kind::Integer,
        (_, "list") => Kind::List,
        _ => Kind::Float,
    }
}

/// Decimal places that count.
fn precision(sample: &Sample) -> i32 {
    let value = sample.meta.get("precision");
    let value = value.and_then(|v| v.as_f64().or_else(|| v.as_str().and_then(|text| text.parse().ok())));
    value.map_or(0, |places| places as i32)
}

fn grade(sample: &Sample, response: &str) -> Grade {
    match kind(sample) {
        Kind::Option => {
            let right = sample.choices.iter().position(|option| option.trim() == sample.answer.trim());
            let right = right.map_or_else(|| sample.answer.clone(), |i| choice::letter(i).to_string());
            choice::grade(&right, &sample.choices, response)
        }
        Kind::Integer | Kind::Float => {
            let (Some(said), Ok(want)) = (number::parse(zone(response)), sample.answer.parse::<f64>()) else {
                return Grade::unparsed();
            };
            let places = if matches!(kind(sample), Kind::Integer) { 0 } else { precision(sample) };
            let half = 0.5 * 10f64.powi(-places);
            // A whole number must be meant; a decimal one is rounded, as the authors do.
            let right = match places {
                0 => said == want,
                _ => (said - want).abs() < half + 1e-9,
            };
            Grade::of(right, said.to_string())
        }
        Kind::List => match (list(zone(response)), list(&sample.answer)) {
            (Some(said), Some(want)) => Grade::of(said == want, format!("{said:?}")),
            _ => Grade::unparsed(),
        },
    }
}

/// The numbers of the last `[…]`.
fn list(text: &str) -> Option<Vec<f64>> {
    let (before, _) = text.rsplit_once(']')?;
    let (_, inside) = before.rsplit_once('[')?;
    inside.split(',').map(|item| item.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome::{Right, Unparsed, Wrong};
    use serde_json::json;

    fn sample(question: &str, answer_type: &str, precision: f64, answer: &str) -> Sample {
        let meta = json!({"question_type": question, "answer_type": answer_type, "precision": precision});
        let choices = if question == "multi_choice" { vec!["6".into(), "7".into()] } else { vec![] };
        Sample {
            id: "1".into(),
            problem: "How many?".into(),
            answer: answer.into(),
            choices,
            images: vec![],
            meta: meta.as_object().unwrap().clone(),
        }
    }

    #[test]
    fn each_kind_of_answer_is_compared_as_it_should_be() {
        for (question, kind, precision, answer, said, want) in [
            ("multi_choice", "text", 0., "7", "(B) 7", Right),
            ("multi_choice", "text", 0., "7", "The answer is 7.", Right),
            ("multi_choice", "text", 0., "7", "A", Wrong),
            ("free_form", "integer", 0., "7", "The answer is 7", Right),
            ("free_form", "integer", 0., "7", "7.2", Wrong),
            ("free_form", "float", 1., "1.2", "1.24", Right),
            ("free_form", "float", 1., "1.2", "1.26", Wrong),
            ("free_form", "float", 2., "1.45", "$1.45", Right),
            ("free_form", "list", 0., "[2007, 2008]", "The years are [2007,2008].", Right),
            ("free_form", "list", 0., "[2007, 2008]", "[2008, 2007]", Wrong),
            ("free_form", "list", 0., "[2007, 2008]", "2007 and 2008", Unparsed),
            ("free_form", "integer", 0., "7", "many", Unparsed),
        ] {
            let graded = grade(&sample(question, kind, precision, answer), said);
            assert_eq!(graded.outcome, want, "{kind}: {said}");
        }
    }
}
