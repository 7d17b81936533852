//! What the same responses would have scored in other programs, and where those disagree with the task's own grade.

use crate::extract::{self, Extractor};
use crate::metrics::{BENCHMARKS, Counts, Score};
use crate::record::{Record, Verdict};
use crate::settings::write_json;
use crate::stats::Interval;
use crate::sweep::order;
use crate::{Error, Result};
use foveate_datasets::{Sample, Split, Task};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The file's name in the directory of an evaluation.
const FILE: &str = "extractors.json";

/// Disagreements that are written out.
const EXAMPLES: usize = 20;

/// One other program's reading of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The task.
    pub task: String,
    /// Whose extractor: `lmms-eval`, `vlmevalkit`, `official`.
    pub extractor: String,
    /// Whose answers.
    pub model: String,
    /// Outcomes there; `unparsed` are those for which it would ask a language model.
    pub counts: Counts,
    /// Right answers there, of those that came.
    pub accuracy: Option<f64>,
    /// Wilson's interval of it.
    pub interval: Option<Interval>,
    /// Responses that are right here and not there, and right there and not here.
    pub only: [usize; 2],
    /// Their share of the answers that came.
    pub disagreement: Option<f64>,
    /// What the benchmark's script would state.
    pub scores: Vec<Score>,
    /// Some of the responses on which the two disagree.
    pub examples: Vec<Disagreement>,
}

impl Elsewhere {
    /// The accuracy of the same answers by the task's own grade.
    pub fn accuracy_here(&self) -> Option<f64> {
        let right = (self.counts.right + self.only[0]).checked_sub(self.only[1])?;
        let came = self.counts.came();
        (came > 0).then(|| right as f64 / came as f64)
    }
}

/// A response that is right in one reading only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The question.
    pub sample: String,
    /// The right answer.
    pub answer: String,
    /// What was said.
    pub response: String,
    /// How the task understood it, and how the other program.
    pub read: [Option<String>; 2],
    /// What it was worth in either.
    pub outcome: [Verdict; 2],
}

/// The readings that `dir` has.
///
/// # Errors
/// A file that cannot be read or is not what [`note`] wrote.
pub fn noted(dir: &Path) -> Result<Vec<Elsewhere>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(vec![]);
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::Line { place: path.display().to_string(), message: e.to_string() })
}

/// Writes readings of one task to `dir`; those of other tasks that are there stay.
///
/// # Errors
/// As [`noted`], and those of the file system.
pub fn note(dir: &Path, task: &str, readings: Vec<Elsewhere>) -> Result<()> {
    let mut all = noted(dir)?;
    let before = all.len();
    all.retain(|other| other.task != task);
    all.extend(readings);
    match all.is_empty() && before == 0 {
        true => Ok(()),
        false => write_json(&dir.join(FILE), &all),
    }
}

/// Every extractor that has `task`, over the clean pictures of each model; empty for a task that nobody else scores.
///
/// # Errors
/// Broken data.
pub fn elsewhere(task: &dyn Task, split: Split, records: &[Record]) -> Result<Vec<Elsewhere>> {
    let extractors: Vec<&Extractor> = extract::of_task(task.name()).collect();
    if extractors.is_empty() {
        return Ok(vec![]);
    }
    let mut samples = HashMap::new();
    for index in 0..task.len(split) {
        let sample = task.sample(split, index)?;
        samples.insert(sample.id.clone(), sample);
    }
    let mut models: Vec<&str> = records.iter().map(|record| record.model.as_str()).collect();
    models.sort_unstable();
    models.dedup();
    let mut out = Vec::new();
    for model in models {
        // A directory may hold other tasks, and the same one with its options in another order.
        let here = |r: &&Record| {
            let shown = samples.get(&r.sample).is_some_and(|sample| order(sample) == r.order);
            r.model == model && r.task == task.name() && r.is_clean() && shown
        };
        let mine: Vec<&Record> = records.iter().filter(here).collect();
        out.extend(extractors.iter().map(|extractor| read(task.name(), extractor, model, &mine, &samples)));
    }
    Ok(out)
}

fn read(
    task: &str,
    extractor: &Extractor,
    model: &str,
    records: &[&Record],
    samples: &HashMap<String, Sample>,
) -> Elsewhere {
    let again: Vec<Record> = records.iter().map(|record| regraded(extractor, record, samples)).collect();
    let counts = Counts::of(&again);
    let (mut only, mut examples) = ([0, 0], Vec::new());
    for (here, there) in records.iter().zip(&again) {
        let right = [here.outcome, there.outcome].map(|outcome| outcome == Verdict::Right);
        if right[0] != right[1] {
            only[usize::from(right[1])] += 1;
            examples.extend((examples.len() < EXAMPLES).then(|| disagreement(here, there)));
        }
    }
    let refs: Vec<&Record> = again.iter().collect();
    let benchmark = BENCHMARKS.iter().find(|benchmark| benchmark.tasks.contains(&task));
    let came = counts.came();
    Elsewhere {
        task: task.into(),
        extractor: extractor.name.into(),
        model: model.into(),
        counts,
        accuracy: counts.accuracy(),
        interval: counts.interval(),
        only,
        disagreement: (came > 0).then(|| (only[0] + only[1]) as f64 / came as f64),
        scores: benchmark.map(|benchmark| (benchmark.of)(&refs)).unwrap_or_default(),
        examples,
    }
}

fn regraded(extractor: &Extractor, record: &Record, samples: &HashMap<String, Sample>) -> Record {
    match (&record.response, samples.get(&record.sample)) {
        (Some(response), Some(sample)) => {
            let grade = extractor.grade(sample, response);
            Record {
                outcome: grade.outcome.into(),
                score: f64::from(grade.score),
                parsed: grade.parsed,
                ..record.clone()
            }
        }
        _ => record.clone(),
    }
}

fn disagreement(here: &Record, there: &Record) -> Disagreement {
    Disagreement {
        sample: here.sample.clone(),
        answer: here.answer.clone(),
        response: here.response.clone().unwrap_or_default(),
        read: [here.parsed.clone(), there.parsed.clone()],
        outcome: [here.outcome, there.outcome],
    }
}
