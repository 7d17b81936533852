//! Which sample comes when, and how a sample becomes a prompt.
//!
//! The order is a permutation for each epoch, drawn from the run's seed, so position alone decides what
//! comes: there is no cursor to save.

use crate::seeds::{Purpose, permutation, seed};
use crate::{Error, Result};
use foveate_datasets::{ImageRef, OpenOptions, Sample, Split, Task, image_runs, open};
use foveate_eval::policy::messages;
use foveate_vision::images::Patches;
use foveate_vision::processor::{Processor, Prompt};
use image::RgbImage;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A split of a task.
#[derive(Debug)]
pub struct Source {
    task: Box<dyn Task>,
    split: Split,
    len: usize,
    /// Which of the split's samples, where not the first `len`.
    kept: Option<Vec<usize>>,
    run_seed: u64,
}

impl Source {
    /// Opens a task. A drawn task draws its images from `run_seed`.
    ///
    /// # Errors
    /// An unknown task, missing files, or an empty split.
    pub fn open(
        task: &str,
        path: Option<&Path>,
        split: Split,
        size: Option<u32>,
        limit: Option<usize>,
        run_seed: u64,
    ) -> Result<Self> {
        let options =
            OpenOptions { data: path.map(Path::to_path_buf), seed: run_seed, size, ..Default::default() };
        Self::of(open(task, &options)?, split, limit, run_seed)
    }

    /// A split of a task at hand, its first `limit` samples at most.
    ///
    /// # Errors
    /// An empty split.
    pub fn of(task: Box<dyn Task>, split: Split, limit: Option<usize>, run_seed: u64) -> Result<Self> {
        let len = task.len(split).min(limit.unwrap_or(usize::MAX));
        if len == 0 {
            let message =
                format!("split `{}` of task `{}` should have samples, but has 0", split.name(), task.name());
            return Err(Error::Recipe { place: "data".into(), message });
        }
        Ok(Self { task, split, len, kept: None, run_seed })
    }

    /// The samples that are left when, of every wording of a question, no answer is more frequent than
    /// another: which of the frequent ones, the run's seed draws. What is learnt from it can not be guessed
    /// from the wording (as in VQA v2, Goyal et al. 2017). Every sample is read once.
    ///
    /// # Errors
    /// Broken data, or nothing left.
    pub fn balanced(mut self) -> Result<Self> {
        let mut wordings: BTreeMap<String, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
        for index in 0..self.len {
            let Sample { problem, answer, .. } = self.sample(index)?;
            wordings.entry(problem).or_default().entry(answer).or_default().push(index);
        }
        let mut kept = vec![];
        for answers in wordings.into_values() {
            let rarest = answers.values().map(Vec::len).min().unwrap_or_default();
            for indices in answers.into_values() {
                let order = permutation(
                    seed(self.run_seed, Purpose::Balance, 0, indices[0] as u64, 0),
                    indices.len(),
                );
                kept.extend(order[..rarest].iter().map(|&k| self.place(indices[k])));
            }
        }
        kept.sort_unstable();
        (self.len, self.kept) = (kept.len(), Some(kept));
        Ok(self)
    }

    /// Where the sample at `index` stands in the split.
    fn place(&self, index: usize) -> usize {
        self.kept.as_ref().map_or(index, |kept| kept[index])
    }

    /// Which image the sample at `index` is about.
    fn image_of(&self, index: usize) -> usize {
        self.task.image_of(self.split, self.place(index))
    }

    /// The task.
    pub fn task(&self) -> &dyn Task {
        self.task.as_ref()
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: an empty split is refused.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sample at `index`.
    ///
    /// # Errors
    /// Broken data.
    pub fn sample(&self, index: usize) -> Result<Sample> {
        Ok(self.task.sample(self.split, self.place(index))?)
    }

    /// The samples at the `positions` of an endless sequence of shuffled epochs.
    pub fn shuffled(&self, positions: Range<u64>) -> Vec<usize> {
        shuffled(self.run_seed, Purpose::Order, self.len, positions)
    }

    /// `indices` cut where the next one is about another image than the one before.
    pub fn about<'a>(&self, indices: &'a [usize]) -> Vec<&'a [usize]> {
        indices.chunk_by(|a, b| self.image_of(*a) == self.image_of(*b)).collect()
    }

    /// Runs of samples that share an image, in the order of the split.
    pub fn images(&self) -> Vec<Range<usize>> {
        image_runs(self.len, |index| self.image_of(index))
    }

    /// Up to `questions` of the samples of each of `count` images that `allowed` lets through, those of step
    /// `step` in an endless sequence of shuffled epochs over `images` (see [`Source::images`]).
    ///
    /// # Errors
    /// Broken data.
    pub(crate) fn about_images(
        &self,
        images: &[Range<usize>],
        (count, questions): (usize, usize),
        allowed: impl Fn(usize) -> bool,
        purpose: Purpose,
        step: u64,
    ) -> Result<Vec<Vec<usize>>> {
        let n = count as u64;
        let chosen = shuffled(self.run_seed, purpose, images.len(), step * n..(step + 1) * n);
        let some = |&image: &usize| {
            let run = &images[image];
            let order = permutation(seed(self.run_seed, purpose, step, image as u64, 1), run.len());
            let asked = order.iter().map(|k| run.start + k).filter(|&index| allowed(index));
            self.varied(asked.collect(), questions)
        };
        chosen.iter().map(some).collect()
    }

    /// The first `n` of the questions of an image when no answer comes twice before every answer has come
    /// once: where most are answered by yes or no, the few about what is seen would otherwise teach little.
    fn varied(&self, mut asked: Vec<usize>, n: usize) -> Result<Vec<usize>> {
        if asked.len() > n {
            let mut times: HashMap<String, usize> = HashMap::new();
            let mut time_of = HashMap::new();
            for &index in &asked {
                let time = times.entry(self.sample(index)?.answer).or_default();
                time_of.insert(index, *time);
                *time += 1;
            }
            asked.sort_by_key(|index| time_of[index]);
            asked.truncate(n);
        }
        Ok(asked)
    }
}

/// What stands at `positions` of an endless sequence of permutations of `0..n`.
pub(crate) fn shuffled(run_seed: u64, purpose: Purpose, n: usize, positions: Range<u64>) -> Vec<usize> {
    let mut epoch = (u64::MAX, vec![]);
    let at = |position: u64| {
        let (number, place) = (position / n as u64, position % n as u64);
        if epoch.0 != number {
            epoch = (number, permutation(seed(run_seed, purpose, number, 0, 0), n));
        }
        epoch.1[place as usize]
    };
    positions.map(at).collect()
}

/// The prompt of one sample about images at hand: several questions about one image share its patches,
/// and so one pass through the vision tower.
///
/// # Errors
/// A question whose marks do not fit its images.
fn prompt_about(
    processor: &Processor,
    task: &dyn Task,
    sample: &Sample,
    patches: &[Arc<Patches>],
) -> Result<Prompt> {
    let (messages, order) = messages(&task.prompt(sample), patches.len())?;
    let patches: Vec<Arc<Patches>> = order.into_iter().map(|at| patches[at].clone()).collect();
    Ok(processor.prompt(&messages, &patches)?)
}

/// The samples at `indices` with their prompts, in parallel.
///
/// # Errors
/// An image that cannot be decoded, or a question whose marks do not fit its images; of the first index
/// at fault.
pub fn prompts(
    processor: &Processor,
    source: &Source,
    indices: &[usize],
    change: impl Fn(&RgbImage, usize) -> RgbImage + Sync,
) -> Result<Vec<(Sample, Arc<Prompt>)>> {
    // Neighbours about one image share its patches, and so its pass through the vision tower.
    let about = source.about(indices);
    let ask = |indices: &&[usize]| -> Result<Vec<(Sample, Arc<Prompt>)>> {
        let samples = indices.iter().map(|&index| source.sample(index)).collect::<Result<Vec<_>>>()?;
        let cut = |image: &ImageRef| {
            let picture = change(image.decode()?.as_ref(), indices[0]);
            Ok(Arc::new(processor.images.patches(&picture)?))
        };
        let patches = samples[0].images.iter().map(cut).collect::<Result<Vec<_>>>()?;
        let ask = |sample: Sample| {
            let prompt = prompt_about(processor, source.task(), &sample, &patches)?;
            Ok((sample, Arc::new(prompt)))
        };
        samples.into_iter().map(ask).collect()
    };
    let asked: Vec<Result<Vec<_>>> = about.par_iter().map(ask).collect();
    Ok(asked.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_all_and_position_decides() {
        let whole = shuffled(3, Purpose::Order, 10, 0..30);
        for epoch in whole.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(whole[..10], whole[10..20]);
        assert_eq!(shuffled(3, Purpose::Order, 10, 7..23), whole[7..23]);
    }

    #[test]
    fn no_answer_comes_twice_before_every_answer_has_come() {
        let source = Source::open("shapes", None, Split::Train, Some(56), Some(80), 1).unwrap();
        let images = source.images();
        for step in 0..5 {
            for asked in source.about_images(&images, (2, 3), |_| true, Purpose::WarmUp, step).unwrap() {
                let run = images.iter().find(|run| run.contains(&asked[0])).unwrap();
                let answers = |at: &mut dyn Iterator<Item = usize>| {
                    at.map(|i| source.sample(i).unwrap().answer).collect()
                };
                let all: std::collections::HashSet<String> = answers(&mut run.clone());
                let some: std::collections::HashSet<String> = answers(&mut asked.iter().copied());
                assert_eq!((asked.len(), some.len()), (3, all.len().min(3)), "{asked:?}");
            }
        }
    }

    #[test]
    fn balanced_no_wording_tells_the_answer() {
        let counted = |source: &Source| {
            let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
            for i in 0..source.len() {
                let Sample { problem, answer, .. } = source.sample(i).unwrap();
                *counts.entry(problem).or_default().entry(answer).or_default() += 1;
            }
            counts
        };
        let open = || Source::open("shapes", None, Split::Train, Some(56), Some(400), 1).unwrap();
        let (before, balanced) = (counted(&open()), open().balanced().unwrap());
        let after = counted(&balanced);
        for (problem, answers) in &before {
            let rarest = answers.values().min().unwrap();
            assert!(after[problem].len() == answers.len() && after[problem].values().all(|n| n == rarest));
        }
        assert!(balanced.len() < 400);
        for run in balanced.images() {
            let names: Vec<_> = run.map(|i| balanced.sample(i).unwrap().images[0].place()).collect();
            assert!(names.iter().all(|name| *name == names[0]));
        }
    }

    #[test]
    fn questions_of_an_image_stand_together() {
        let source = Source::open("shapes", None, Split::Train, Some(56), Some(20), 1).unwrap();
        assert_eq!(source.images(), [0..8, 8..16, 16..20]);
    }
}
