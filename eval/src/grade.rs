//! Recorded responses to records: no model, no picture is opened.
//!
//! Decides which line answers which question. A response to a question that the task does not have is an error; a
//! question without a response is a failed call, as is a line that says so.

use crate::policy::{Failed, Recorded, Said, UNRECORDED};
use crate::record::{Record, Verdict};
use crate::sweep::{Cell, Plan};
use crate::{Error, Result};
use foveate_augment::Scale;
use foveate_datasets::{Sample, Split, Task};
use serde_json::Value;
use std::collections::HashMap;

/// Keys of `meta` by which people name a question, beside its id.
const NAMES: [&str; 7] = ["question_id", "Question_id", "pid", "index", "image", "Image", "id"];

/// Records of every question of `split`, graded by the task itself.
///
/// # Errors
/// A line for a question that is not there, two lines for one, or broken data.
pub fn grade(task: &dyn Task, split: Split, seed: u64, recorded: &Recorded) -> Result<Vec<Record>> {
    let samples: Vec<Sample> =
        (0..task.len(split)).map(|index| Ok(task.sample(split, index)?)).collect::<Result<_>>()?;
    let lines = assigned(task, &samples, recorded)?;
    let (scale, cells) = (Scale::Native, vec![Cell::CLEAN]);
    let plan = Plan { task, split, seed, scale, cells, images: vec![] };
    let nothing = || Err(Failed(UNRECORDED.into()));
    let record = |(index, sample): (usize, &Sample)| {
        let question = plan.question(recorded, index, sample, &Cell::CLEAN);
        let response = lines.get(&index).map_or_else(nothing, |said| said.response.clone());
        graded(task, sample, question, response)
    };
    Ok(samples.iter().enumerate().map(record).collect())
}

fn graded(task: &dyn Task, sample: &Sample, question: Record, response: Result<String, Failed>) -> Record {
    match response {
        Err(why) => Record { outcome: Verdict::Failed, error: Some(why.0), ..question },
        Ok(text) => {
            let grade = task.grade(sample, &text);
            Record {
                outcome: grade.outcome.into(),
                score: f64::from(grade.score),
                parsed: grade.parsed,
                response: Some(text),
                ..question
            }
        }
    }
}

/// The line of each question that has one.
fn assigned<'a>(
    task: &dyn Task,
    samples: &[Sample],
    recorded: &'a Recorded,
) -> Result<HashMap<usize, &'a Said>> {
    let known = names(samples);
    let mut lines: HashMap<usize, &Said> = HashMap::new();
    for (id, said) in recorded.responses() {
        let index = known.get(id.as_str()).copied().flatten().ok_or_else(|| {
            let some: Vec<_> = samples.iter().take(3).map(|sample| sample.id.as_str()).collect();
            let expected = format!("of a question of task `{}` (such as {})", task.name(), some.join(", "));
            Error::differs(&said.place, "id", expected, format!("`{id}`"))
        })?;
        if let Some(other) = lines.insert(index, said) {
            let expected = format!("of a question without a line; {} names the same one", other.place);
            return Err(Error::differs(&said.place, "id", expected, format!("`{id}`")));
        }
    }
    Ok(lines)
}

/// The index of each question by its id and, where only one question has it, by its other names; `None` for a name
/// that several share.
fn names(samples: &[Sample]) -> HashMap<String, Option<usize>> {
    let mut known: HashMap<String, Option<usize>> = HashMap::new();
    for (index, sample) in samples.iter().enumerate() {
        let mut mine: Vec<String> = NAMES.iter().filter_map(|key| text(sample.meta.get(*key)?)).collect();
        let files: Vec<_> =
            mine.iter().filter_map(|name| Some(name.rsplit_once('/')?.1.to_owned())).collect();
        mine.extend(files);
        let stems: Vec<_> =
            mine.iter().filter_map(|name| Some(name.rsplit_once('.')?.0.to_owned())).collect();
        mine.extend(stems);
        mine.sort();
        mine.dedup();
        for name in mine {
            known.entry(name).and_modify(|owner| *owner = None).or_insert(Some(index));
        }
    }
    known.extend(samples.iter().enumerate().map(|(index, sample)| (sample.id.clone(), Some(index))));
    known
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
