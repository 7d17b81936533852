//! Greedy accuracy on held-out questions, on clean images and on corrupted ones.
//!
//! A corrupted image is the same at every evaluation of a run, so that two evaluations differ only by the
//! weights.

use crate::Result;
use crate::ask::Asker;
use crate::data::Source;
use crate::log::Metrics;
use crate::observer::Observer;
use crate::policy::LocalPolicy;
use crate::recipe::{EvalRecipe, Recipe};
use crate::seeds::{Purpose, seed};
use crate::turns::{Heard, Turns, measure};
use crate::view::resolve;
use foveate_augment::{Corruption, Severity};
use foveate_datasets::{Grade, Outcome, Sample, Split};
use image::RgbImage;

/// Questions that are answered together.
const BATCH: usize = 64;

/// A task to be measured on.
#[derive(Debug)]
pub struct Evaluation {
    source: Source,
    cells: Vec<Cell>,
    max_tokens: usize,
    run_seed: u64,
}

/// One kind of image.
#[derive(Debug)]
struct Cell {
    name: String,
    corruption: Option<(&'static dyn Corruption, Severity)>,
    /// Numbers the corruption for its random draws.
    index: u64,
}

impl Cell {
    fn change(&self, image: &RgbImage, run_seed: u64, sample: usize) -> RgbImage {
        let Some((corruption, severity)) = self.corruption else { return image.clone() };
        let draw = seed(run_seed, Purpose::Evaluation, 0, sample as u64, self.index);
        corruption.apply(image, severity, draw)
    }
}

impl Evaluation {
    /// Opens what one `[[eval]]` names. Its files lie where it says, or where those of the training data
    /// do if it is the same task.
    ///
    /// # Errors
    /// Unknown names or missing files.
    pub fn open(eval: &EvalRecipe, recipe: &Recipe) -> Result<Self> {
        let same = eval.task == recipe.data.task;
        let path = eval.path.as_deref().or(recipe.data.path.as_deref().filter(|_| same));
        let size = recipe.data.size.filter(|_| same);
        let source = Source::open(&eval.task, path, Split::Test, size, Some(eval.limit), recipe.seed)?;
        let mut cells = vec![Cell { name: "clean".into(), corruption: None, index: 0 }];
        for (index, corruption) in resolve(&eval.corruptions)?.into_iter().enumerate() {
            for &level in &eval.severities {
                let (name, index) = (format!("{}-{level}", corruption.name()), 1 + index as u64);
                cells.push(Cell { name, corruption: Some((corruption, Severity::level(level)?)), index });
            }
        }
        Ok(Self { source, cells, max_tokens: recipe.rollout.max_tokens, run_seed: recipe.seed })
    }

    /// `eval/TASK/CELL/accuracy` and `.../unparsed` for every cell, and the mean accuracy over the
    /// corrupted ones.
    ///
    /// # Errors
    /// Broken data, or those of the model.
    pub fn run(
        &self,
        policy: &LocalPolicy,
        turns: Option<&Turns>,
        observer: &mut dyn Observer,
    ) -> Result<Metrics> {
        let mut metrics = Metrics::default();
        let task = self.source.task().name();
        let all = self.cells.len() * self.source.len();
        let mut corrupted = vec![];
        for (n, cell) in self.cells.iter().enumerate() {
            let mut tell = |done: usize| observer.evaluating(n * self.source.len() + done, all);
            let answers = self.cell(policy, turns, cell, &mut tell)?;
            let share = |outcome: Outcome| {
                let count = answers.iter().filter(|(_, grade, _)| grade.outcome == outcome).count();
                count as f64 / self.source.len() as f64
            };
            let (prefix, right) = (format!("eval/{task}/{}/", cell.name), share(Outcome::Right));
            metrics.put(format!("{prefix}accuracy"), right);
            metrics.put(format!("{prefix}unparsed"), share(Outcome::Unparsed));
            if turns.is_some() {
                let heard = answers.iter().map(|(sample, _, heard)| (sample, &heard[..]));
                measure(&mut metrics, &prefix, heard);
            }
            corrupted.extend(cell.corruption.map(|_| right));
        }
        if !corrupted.is_empty() {
            let mean = corrupted.iter().sum::<f64>() / corrupted.len() as f64;
            metrics.put(format!("eval/{task}/corrupted/accuracy"), mean);
        }
        Ok(metrics)
    }

    /// Every question with its answer's grade and what was heard on the way.
    fn cell(
        &self,
        policy: &LocalPolicy,
        turns: Option<&Turns>,
        cell: &Cell,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Vec<(Sample, Grade, Vec<Heard>)>> {
        let sampling = policy.greedy(self.max_tokens);
        let indices: Vec<usize> = (0..self.source.len()).collect();
        let mut all = Vec::with_capacity(indices.len());
        for (n, batch) in indices.chunks(BATCH).enumerate() {
            let change = |image: &RgbImage, sample: usize| cell.change(image, self.run_seed, sample);
            let asker = Asker { policy, source: &self.source, turns, sampling: &sampling };
            let answers = asker.ask(batch, (1, &vec![0; batch.len()]), change)?;
            for (sample, _, episodes) in answers {
                for episode in episodes {
                    let grade = self.source.task().grade(&sample, &episode.text);
                    all.push((sample.clone(), grade, episode.heard));
                }
            }
            tell(n * BATCH + batch.len());
        }
        Ok(all)
    }
}
