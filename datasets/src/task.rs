//! The contract of a task, and the table of all of them.
//!
//! To add one: a file under `tasks/`, its `mod` line, and a line in [`TASKS`]; the laws in `tests/tasks.rs` then hold
//! for it too.

use crate::{Error, Grade, Result, Sample, tasks};
use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;

/// Which part of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// To learn from.
    Train,
    /// To be measured on; shares no image with [`Split::Train`].
    Test,
}

impl Split {
    /// Both, in the order of training.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// What a score is worth: the accuracies of two policies that see nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chance {
    /// A uniform draw from the answers that fit the question.
    pub guess: f32,
    /// The best that can be done from the text of the question alone.
    pub text_only: f32,
}

/// How to open a task.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Where the files lie, for a task that has files.
    pub data: Option<PathBuf>,
    /// Decides everything a synthetic task draws.
    pub seed: u64,
    /// Side of a synthetic image in pixels; the task's own default when absent.
    pub size: Option<u32>,
    /// Samples in a synthetic training split; the task's own default when absent.
    pub train: Option<usize>,
    /// Samples in a synthetic test split; the task's own default when absent.
    pub test: Option<usize>,
    /// Decides the order of a benchmark's options, question by question; the order of its own files when absent.
    pub shuffle: Option<u64>,
    /// Whose words a benchmark's questions are put in (`official`, `lmms-eval`, `vlmevalkit`); its first when absent.
    pub wording: Option<String>,
}

/// A set of questions with a way to ask and a way to grade.
pub trait Task: Send + Sync + Debug {
    /// The name in recipes and records.
    fn name(&self) -> &'static str;
    /// Rises whenever samples, prompt or grading change, so that records of different versions never mix.
    fn version(&self) -> u32;
    /// Samples in `split`; 0 where the task has no such split.
    fn len(&self, split: Split) -> usize;
    /// Whether `split` has no samples.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }
    /// The sample at `index`.
    ///
    /// # Errors
    /// `index` is outside the split, or the sample's data is broken.
    fn sample(&self, split: Split, index: usize) -> Result<Sample>;
    /// A number that samples of one image share and others of the split do not. Samples of one image lie side by
    /// side, so that a trainer can pack several questions about an image it encodes once.
    fn image_of(&self, _split: Split, index: usize) -> usize {
        index
    }
    /// The user's turn, `<image>` marks included where the question has them.
    fn prompt(&self, sample: &Sample) -> String {
        sample.problem.clone()
    }
    /// What `response` is worth. Total: any text gets a grade. Training rewards and evaluation both call this.
    fn grade(&self, sample: &Sample, response: &str) -> Grade;
    /// Accuracy without sight, where it is known.
    fn chance(&self) -> Option<Chance> {
        None
    }
}

/// The key of [`Sample::meta`] that holds the order of options that were shuffled.
pub(crate) const ORDER: &str = "order";

/// A line of [`TASKS`].
#[derive(Clone, Copy, Debug)]
pub struct TaskEntry {
    /// The name in recipes and on the command line.
    pub name: &'static str,
    /// One line for a listing.
    pub summary: &'static str,
    /// Whether [`OpenOptions::data`] must be given.
    pub needs_data: bool,
    /// Opens it.
    pub open: fn(&OpenOptions) -> Result<Box<dyn Task>>,
}

/// Every task that a recipe can name.
pub const TASKS: &[TaskEntry] = &[
    tasks::SHAPES,
    tasks::SEARCH,
    tasks::CHARTS,
    tasks::DIGITS,
    tasks::QUALITY,
    tasks::PRIOR,
    tasks::EASY_VQA,
    tasks::DATA,
    tasks::VSTAR,
    tasks::MME_REALWORLD,
    tasks::MME_REALWORLD_CN,
    tasks::MME_REALWORLD_LITE,
    tasks::HR_BENCH_4K,
    tasks::HR_BENCH_8K,
    tasks::MATHVISTA,
];

/// Runs of samples that share an image, among the first `len` of a split, in its order.
pub fn image_runs(len: usize, image_of: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut last = None;
    for index in 0..len {
        let image = Some(image_of(index));
        match runs.last_mut() {
            Some(run) if image == last => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
        last = image;
    }
    runs
}

/// Opens the task called `name`.
///
/// # Errors
/// No task has that name, its files are missing or broken, or an option does not fit.
pub fn open(name: &str, options: &OpenOptions) -> Result<Box<dyn Task>> {
    let entry = TASKS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let known: Vec<_> = TASKS.iter().map(|entry| entry.name).collect();
        Error::Invalid(format!("no task is called `{name}`; there are {}", known.join(", ")))
    })?;
    if entry.needs_data && options.data.is_none() {
        return Err(Error::Invalid(format!("task `{name}` reads files: say where they lie (data)")));
    }
    (entry.open)(options)
}

/// The error for an index outside a split.
pub(crate) fn outside(task: &dyn Task, split: Split, index: usize) -> Error {
    let (name, split_name, len) = (task.name(), split.name(), task.len(split));
    Error::Invalid(format!("task `{name}`, split {split_name}: index {index} of {len} samples"))
}
