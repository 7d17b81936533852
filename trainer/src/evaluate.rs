//! Greedy accuracy on held-out questions, on clean images and on corrupted ones.
//!
//! A corrupted image is the same at every evaluation of a run, so that two evaluations differ only by the
//! weights.

use crate::Result;
use crate::correlation::correlations;
use crate::data::{self, Source};
use crate::log::Metrics;
use crate::observer::Observer;
use crate::policy::LocalPolicy;
use crate::recipe::{EvalRecipe, Recipe};
use crate::reward::signed;
use crate::seeds::{Purpose, seed};
use crate::view::resolve;
use foveate_augment::{Corruption, Severity};
use foveate_datasets::{Grade, Outcome, Sample, Split, grade};
use foveate_vision::generate::{Request, generate};
use foveate_vision::processor::Prompt;
use image::RgbImage;
use serde_json::{Value, json};
use std::sync::Arc;

/// Questions that are answered together.
const BATCH: usize = 64;

/// A task to be measured on.
#[derive(Debug)]
pub struct Evaluation {
    source: Source,
    cells: Vec<Cell>,
    max_tokens: usize,
    run_seed: u64,
    /// Answers of each cell that are written out.
    logged: usize,
}

/// What one cell came to.
#[derive(Debug, Default)]
struct Tally {
    right: usize,
    unparsed: usize,
    /// Whether an answer is to be a number.
    numeric: bool,
    /// What was said and what is true, where both are numbers.
    scores: Vec<(f64, f64)>,
    lines: Vec<Value>,
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
        Ok(Self {
            source,
            cells,
            max_tokens: recipe.rollout.max_tokens,
            run_seed: recipe.seed,
            logged: recipe.train.eval_completions,
        })
    }

    /// `eval/TASK/CELL/accuracy` and `.../unparsed` for every cell, the mean accuracy over the corrupted
    /// ones, where answers are numbers `.../plcc`, `srcc`, `krcc` and `rmse`; and lines for
    /// `evaluations.jsonl`.
    ///
    /// # Errors
    /// Broken data, or those of the model.
    pub fn run(
        &self,
        policy: &LocalPolicy,
        step: u64,
        observer: &mut dyn Observer,
    ) -> Result<(Metrics, Vec<Value>)> {
        let (mut metrics, mut lines) = (Metrics::default(), vec![]);
        let task = self.source.task().name();
        let all = self.cells.len() * self.source.len();
        let mut corrupted = vec![];
        for (n, cell) in self.cells.iter().enumerate() {
            let mut tell = |done: usize| observer.evaluating(n * self.source.len() + done, all);
            let tally = self.cell(policy, cell, step, &mut tell)?;
            let share = |count: usize| count as f64 / self.source.len() as f64;
            let name = format!("eval/{task}/{}", cell.name);
            metrics.put(format!("{name}/accuracy"), share(tally.right));
            metrics.put(format!("{name}/unparsed"), share(tally.unparsed));
            if tally.numeric {
                metrics.extend(correlations(&name, &tally.scores));
            }
            corrupted.extend(cell.corruption.map(|_| share(tally.right)));
            lines.extend(tally.lines);
        }
        if !corrupted.is_empty() {
            let mean = corrupted.iter().sum::<f64>() / corrupted.len() as f64;
            metrics.put(format!("eval/{task}/corrupted/accuracy"), mean);
        }
        Ok((metrics, lines))
    }

    fn cell(
        &self,
        policy: &LocalPolicy,
        cell: &Cell,
        step: u64,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Tally> {
        let sampling = policy.greedy(self.max_tokens);
        let mut tally = Tally::default();
        let indices: Vec<usize> = (0..self.source.len()).collect();
        for (n, batch) in indices.chunks(BATCH).enumerate() {
            let change = |image: &RgbImage, sample: usize| cell.change(image, self.run_seed, sample);
            let asked = data::prompts(&policy.processor, &self.source, batch, change)?;
            let request = |prompt: &Arc<Prompt>| Request { prompt: prompt.clone(), n: 1, seed: 0 };
            let requests: Vec<_> = asked.iter().map(|(_, prompt)| request(prompt)).collect();
            let answers = generate(&policy.model, &requests, &sampling)?;
            for ((sample, _), answer) in asked.iter().zip(answers.iter().flatten()) {
                let text = policy.text(&answer.ids)?;
                let grade = self.source.task().grade(sample, &text);
                tally.count(sample, &text, &grade);
                if tally.lines.len() < self.logged {
                    tally.lines.push(json!({
                        "step": step, "task": self.source.task().name(), "images": cell.name,
                        "id": sample.id, "question": sample.problem, "answer": sample.answer,
                        "completion": text, "tokens": answer.ids.len(), "outcome": grade.outcome,
                    }));
                }
            }
            tell(n * BATCH + batch.len());
        }
        Ok(tally)
    }
}

impl Tally {
    fn count(&mut self, sample: &Sample, text: &str, grade: &Grade) {
        self.right += usize::from(grade.outcome == Outcome::Right);
        self.unparsed += usize::from(grade.outcome == Outcome::Unparsed);
        let truth = grade::number::parse(&sample.answer);
        self.numeric |= truth.is_some();
        self.scores.extend(signed(grade::zone(text)).zip(truth));
    }
}
