//! Which questions are asked: the samples, the share of a shard, and what each question's record begins with.

use super::Cell;
use crate::policy::Policy;
use crate::record::{Record, digest};
use crate::{Error, Result};
use foveate_augment::Scale;
use foveate_datasets::{ImageRef, Sample, Split, Task, image_runs};
use serde_json::{Map, Value};
use std::ops::Range;

/// A question is of so many groups of one kind at most.
const MOST_GROUPS: usize = 8;

/// A longer fact of a sample is no category.
const LONGEST_FACT: usize = 160;

/// What is asked.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The task.
    pub task: &'a dyn Task,
    /// Part of it.
    pub split: Split,
    /// Of the corruptions, the sampling and the choice of samples.
    pub seed: u64,
    /// What the corruptions' constants are meant for.
    pub scale: Scale,
    /// The kinds of picture.
    pub cells: Vec<Cell>,
    /// Runs of samples that share a picture.
    pub images: Vec<Range<usize>>,
}

impl Plan<'_> {
    /// Questions in all.
    pub fn len(&self) -> usize {
        self.cells.len() * self.images.iter().map(ExactSizeIterator::len).sum::<usize>()
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands in the record of a question before it is answered.
    pub(crate) fn question<P: Policy>(
        &self,
        policy: &P,
        index: usize,
        sample: &Sample,
        cell: &Cell,
    ) -> Record {
        let chance = match sample.choices.len() {
            0 => self.task.chance().map(|chance| f64::from(chance.guess)),
            options => Some(1.0 / options as f64),
        };
        let record = Record {
            task: self.task.name().into(),
            version: self.task.version(),
            sample: sample.id.clone(),
            content: content(sample),
            model: policy.name().into(),
            corruption: cell.corruption().map(str::to_owned),
            severity: cell.severity(),
            scale: self.scale.to_string(),
            seed: self.seed,
            prompt: self.task.prompt(sample),
            order: order(sample),
            pixels: policy.pixels(),
            sampling: policy.sampling(),
            answer: sample.answer.clone(),
            meta: facts(&sample.meta),
            image: self.task.image_of(self.split, index).to_string(),
            chance,
            seen: cell.seen,
            ..Record::default()
        };
        Record { key: record.digest(), ..record }
    }
}

/// Runs of samples that share a picture, of the part `shard.0` (from 0) of `shard.1` of at most `limit` samples.
/// A limit takes pictures in an order that `seed` draws, so that a sorted file is not cut off at its beginning,
/// and a larger limit asks the questions of a smaller one and more.
///
/// # Errors
/// A split without samples.
pub fn images(
    task: &dyn Task,
    split: Split,
    limit: Option<usize>,
    seed: u64,
    shard: (usize, usize),
) -> Result<Vec<Range<usize>>> {
    let mut runs = image_runs(task.len(split), |index| task.image_of(split, index));
    if runs.is_empty() {
        let place = format!("task `{}`, split {}", task.name(), split.name());
        return Err(Error::differs(place, "samples", "at least one", 0));
    }
    if let Some(mut left) = limit.filter(|&limit| limit < task.len(split)) {
        let rank = |run: &Range<usize>| digest(format!("sample\n{seed}\n{}", run.start).as_bytes(), 8);
        runs.sort_by_cached_key(rank);
        runs.retain_mut(|run| {
            run.end = run.end.min(run.start + left);
            left -= run.len();
            run.start < run.end
        });
        runs.sort_by_key(|run| run.start);
    }
    let mine = |(at, run): (usize, Range<usize>)| (at % shard.1 == shard.0).then_some(run);
    Ok(runs.into_iter().enumerate().filter_map(mine).collect())
}

/// [`Record::content`]. Pictures count by their sizes: reading them all would make a repeated evaluation dear.
fn content(sample: &Sample) -> String {
    let size = |image: &ImageRef| match image {
        ImageRef::Rgb(image) => Value::from(vec![image.width(), image.height()]),
        ImageRef::Path(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()).into(),
        ImageRef::Bytes { bytes, .. } => bytes.len().into(),
    };
    let images: Vec<Value> = sample.images.iter().map(size).collect();
    let whole = serde_json::json!([sample.problem, sample.answer, sample.choices, images]);
    digest(whole.to_string().as_bytes(), 8)
}

/// [`Record::order`]: a task that shuffles options says how in `meta.order`.
pub(crate) fn order(sample: &Sample) -> Vec<usize> {
    let said = sample.meta.get("order").and_then(Value::as_array);
    let said = said.map(|list| list.iter().filter_map(|at| Some(at.as_u64()? as usize)).collect::<Vec<_>>());
    said.filter(|order| order.len() == sample.choices.len()).unwrap_or((0..sample.choices.len()).collect())
}

/// The short facts of a sample, and short lists of short texts (a question of several groups at once).
fn facts(meta: &Map<String, Value>) -> Map<String, Value> {
    let short = |text: &str| text.len() <= LONGEST_FACT;
    let kept = |value: &Value| match value {
        Value::String(text) => short(text),
        Value::Number(_) | Value::Bool(_) => true,
        Value::Array(list) => {
            (1..=MOST_GROUPS).contains(&list.len())
                && list.iter().all(|item| item.as_str().is_some_and(short))
        }
        _ => false,
    };
    meta.iter().filter(|(_, value)| kept(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foveate_datasets::{OpenOptions, open};

    fn shapes() -> Box<dyn Task> {
        let options = OpenOptions { size: Some(48), test: Some(400), ..OpenOptions::default() };
        open("shapes", &options).unwrap()
    }

    fn taken(limit: Option<usize>, shard: (usize, usize)) -> Vec<usize> {
        images(shapes().as_ref(), Split::Test, limit, 5, shard).unwrap().into_iter().flatten().collect()
    }

    #[test]
    fn shards_lie_side_by_side_without_a_gap() {
        let mut all: Vec<usize> = (0..3).flat_map(|i| taken(Some(101), (i, 3))).collect();
        all.sort_unstable();
        assert_eq!(all, taken(Some(101), (0, 1)));
        assert_eq!(taken(None, (0, 1)), (0..400).collect::<Vec<_>>());
    }

    #[test]
    fn a_limit_takes_from_everywhere_and_a_larger_one_takes_more() {
        let (few, many) = (taken(Some(40), (0, 1)), taken(Some(111), (0, 1)));
        assert_eq!((few.len(), many.len()), (40, 111));
        assert!(few.iter().all(|index| many.contains(index)));
        assert!(few[39] > 200, "not only the beginning: {few:?}");
    }
}
