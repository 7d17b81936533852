//! `hr-bench-4k`, `hr-bench-8k`: HR-Bench (Wang et al. 2024), 200 questions, each in four cyclic orders of its options.
//!
//! Reads the published TSV and parquet. A score is the mean over the cycles; the four rows of one question are about
//! one picture, so statistics that resample pictures keep them together.

use super::benchmark::{self, Protocol, Wording, by_letter};
use crate::{Sample, TaskEntry};
use serde_json::Value;

const WORDINGS: &[Wording] = &[
    Wording { name: "lmms-eval", of: lmms_eval },
    Wording { name: "vlmevalkit", of: benchmark::vlmevalkit },
];

const fn protocol(name: &'static str, file: fn(&str) -> bool) -> Protocol {
    Protocol {
        name,
        version: 1,
        formats: &["vlmevalkit"],
        file,
        folder: None,
        settle,
        fixed: 0,
        wordings: WORDINGS,
        grade: by_letter,
    }
}

static FOUR: Protocol = protocol("hr-bench-4k", |name| of(name, "4k"));
static EIGHT: Protocol = protocol("hr-bench-8k", |name| of(name, "8k"));

/// The line in the table.
pub(crate) const ENTRY_4K: TaskEntry = TaskEntry {
    name: FOUR.name,
    summary: "HR-Bench 4K: 200 questions in four orders of options (TSV or parquet)",
    needs_data: true,
    open: |options| benchmark::open(&FOUR, options),
};

/// The line in the table.
pub(crate) const ENTRY_8K: TaskEntry = TaskEntry {
    name: EIGHT.name,
    summary: "HR-Bench 8K: 200 questions in four orders of options (TSV or parquet)",
    needs_data: true,
    open: |options| benchmark::open(&EIGHT, options),
};

fn of(name: &str, size: &str) -> bool {
    (name.contains("hr_bench") || name.contains("hrbench")) && name.contains(size)
}

fn lmms_eval(sample: &Sample) -> String {
    let question = sample.problem.trim();
    format!("{question}\n{}Answer the option letter directly.", benchmark::dotted(sample))
}

/// A cycle is a text in every layout, so that groups have one name.
fn settle(sample: &mut Sample) -> Result<(), String> {
    for key in ["category", "cycle_category"] {
        let text = match sample.meta.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(format!("field `{key}`: missing")),
        };
        sample.meta.insert(key.into(), text.into());
    }
    Ok(())
}
