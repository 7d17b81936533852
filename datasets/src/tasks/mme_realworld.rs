//! `mme-realworld`, `mme-realworld-cn`, `mme-realworld-lite`: MME-RealWorld (Zhang et al. 2024), five options each, of
//! which (E) says that none of the others will do.
//!
//! Reads the official JSON beside its unpacked pictures, the Base64 repository's arrays, its TSV, and the parquet
//! mirrors. Task, subtask and category get one name each, whichever layout they come from.

use super::benchmark::{self, Protocol, Wording, by_letter, is_shuffled};
use crate::formats::AS_WRITTEN;
use crate::grade::choice::letter;
use crate::{Sample, TaskEntry};
use serde_json::Value;

const FORMATS: &[&str] = &["mme-realworld", "mme-realworld-base64"];

const fn protocol(name: &'static str, file: fn(&str) -> bool, wordings: &'static [Wording]) -> Protocol {
    Protocol {
        name,
        version: 1,
        formats: FORMATS,
        file,
        folder: None,
        settle,
        fixed: 1,
        wordings,
        grade: by_letter,
    }
}

static ENGLISH: Protocol = protocol("mme-realworld", |name| of(name, &[], &["cn", "lite"]), ENGLISH_WORDS);
static CHINESE: Protocol = protocol("mme-realworld-cn", |name| of(name, &["cn"], &[]), CHINESE_WORDS);
static LITE: Protocol = protocol("mme-realworld-lite", |name| of(name, &["lite"], &[]), ENGLISH_WORDS);

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: ENGLISH.name,
    summary: "MME-RealWorld: 23,609 questions about high-resolution pictures (JSON and pictures, TSV or parquet)",
    needs_data: true,
    open: |options| benchmark::open(&ENGLISH, options),
};

/// The line in the table.
pub(crate) const ENTRY_CN: TaskEntry = TaskEntry {
    name: CHINESE.name,
    summary: "MME-RealWorld-CN: 5,917 questions in Chinese",
    needs_data: true,
    open: |options| benchmark::open(&CHINESE, options),
};

/// The line in the table.
pub(crate) const ENTRY_LITE: TaskEntry = TaskEntry {
    name: LITE.name,
    summary: "MME-RealWorld-Lite: 50 questions a category, 1,919 in all",
    needs_data: true,
    open: |options| benchmark::open(&LITE, options),
};

/// Parquet shards of the mirrors are called by their split alone.
fn of(name: &str, marks: &[&str], others: &[&str]) -> bool {
    let named = name.starts_with("mme_real") || name.starts_with("mmerealworld");
    let shard = name.starts_with("train_0") && name.ends_with(".parquet");
    shard || named && marks.iter().all(|m| name.contains(m)) && !others.iter().any(|m| name.contains(m))
}

const ENGLISH_WORDS: &[Wording] = &[
    Wording { name: "official", of: |s| english(s, "option. \nThe best answer is:") },
    Wording { name: "lmms-eval", of: |s| english(s, "option.\nThe best answer is: ") },
];
const CHINESE_WORDS: &[Wording] = &[
    Wording { name: "official", of: |s| chinese(s, "最佳答案为：") },
    Wording { name: "lmms-eval", of: |s| chinese(s, "最佳答案为： ") },
];

fn english(sample: &Sample, end: &str) -> String {
    format!(
        "{} The choices are listed below:\n{}\nSelect the best answer to the above multiple-choice question based on \
         the image. Respond with only the letter (A, B, C, D, or E) of the correct {end}",
        sample.problem,
        options(sample)
    )
}

fn chinese(sample: &Sample, end: &str) -> String {
    format!(
        "{} 选项如下所示:\n{}\n根据图像选择上述多项选择题的最佳答案。只需回答正确选项的字母（A, B, C, D 或 E）。\n{end}",
        sample.problem,
        options(sample)
    )
}

fn options(sample: &Sample) -> String {
    let written = sample.meta.get(AS_WRITTEN).and_then(Value::as_array).filter(|_| !is_shuffled(sample));
    let lines: Vec<String> = match written {
        Some(list) => list.iter().filter_map(|option| option.as_str().map(str::to_owned)).collect(),
        None => {
            sample.choices.iter().enumerate().map(|(i, text)| format!("({}) {text}", letter(i))).collect()
        }
    };
    lines.join("\n")
}

/// `Task, Subtask, Category` of the official file; `category` (`Perception/Monitoring`) and `l2-category` elsewhere.
fn settle(sample: &mut Sample) -> Result<(), String> {
    let text = |key: &str| sample.meta.get(key).and_then(Value::as_str).map(str::to_owned);
    let (task, subtask, category) = match (text("Task"), text("Subtask"), text("Category")) {
        (Some(task), Some(subtask), Some(category)) => (task, subtask, category),
        _ => {
            let both = text("category").ok_or("field `category`: missing")?;
            let (task, subtask) = both.split_once('/').ok_or_else(|| {
                format!("field `category`: `{both}` should be a task and a subtask with a `/` between")
            })?;
            let category = text("l2-category").ok_or("field `l2-category`: missing")?;
            (task.to_owned(), subtask.to_owned(), category)
        }
    };
    for other in ["Task", "Subtask", "Category", "l2-category"] {
        sample.meta.shift_remove(other);
    }
    for (key, value) in [("task", task), ("subtask", subtask), ("category", category)] {
        sample.meta.insert(key.into(), value.into());
    }
    Ok(())
}
