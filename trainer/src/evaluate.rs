//! Greedy accuracy on held-out questions, on clean images and on corrupted ones.
//!
//! A corrupted image is the same at every evaluation of a run, so that two evaluations differ only by the
//! weights.

use crate::Result;
use crate::ask::Asker;
use crate::correlation::correlations;
use crate::data::Source;
use crate::engine::Local;
use crate::log::Metrics;
use crate::observer::Observer;
use crate::policy::LocalPolicy;
use crate::recipe::{EvalRecipe, Recipe};
use crate::reward::signed;
use crate::seeds::{Purpose, seed};
use crate::turns::{Episode, Turns, measure};
use crate::view::resolve;
use foveate_augment::{Corruption, Severity};
use foveate_datasets::{Grade, Outcome, Sample, Split, grade};
use image::RgbImage;
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;

/// An evaluation is finished once it is begun.
static NEVER: AtomicBool = AtomicBool::new(false);

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

/// A question that was answered.
struct Answered {
    sample: Sample,
    episode: Episode,
    grade: Grade,
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
        let size = recipe.data.size.filter(|_| same);
        let source = Source::open(
            &eval.task,
            eval.files(&recipe.data),
            Split::Test,
            size,
            Some(eval.limit),
            recipe.seed,
        )?;
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

    /// Where answers are numbers `.../plcc`, `srcc`, `krcc` and `rmse`, lines for `evaluations.jsonl`, and
    /// `eval/TASK/CELL/accuracy` and `.../unparsed` for every cell, and the mean accuracy over the
    /// corrupted ones.
    ///
    /// # Errors
    /// Broken data, or those of the model.
    pub fn run(
        &self,
        policy: &LocalPolicy,
        turns: Option<&Turns>,
        step: u64,
        observer: &mut dyn Observer,
    ) -> Result<(Metrics, Vec<Value>)> {
        let (mut metrics, mut lines) = (Metrics::default(), vec![]);
        let task = self.source.task().name();
        let all = self.cells.len() * self.source.len();
        let mut corrupted = vec![];
        for (n, cell) in self.cells.iter().enumerate() {
            let mut tell = |done: usize| observer.evaluating(n * self.source.len() + done, all);
            let answers = self.cell(policy, turns, cell, &mut tell)?;
            let share = |outcome: Outcome| {
                let count = answers.iter().filter(|a| a.grade.outcome == outcome).count();
                count as f64 / self.source.len() as f64
            };
            let (prefix, right) = (format!("eval/{task}/{}/", cell.name), share(Outcome::Right));
            metrics.put(format!("{prefix}accuracy"), right);
            metrics.put(format!("{prefix}unparsed"), share(Outcome::Unparsed));
            if turns.is_some() {
                let heard = answers.iter().map(|a| (&a.sample, &a.episode.heard[..]));
                measure(&mut metrics, &prefix, heard);
            }
            if let Some(pairs) = scores(&answers) {
                metrics.extend(correlations(prefix.trim_end_matches('/'), &pairs));
            }
            lines.extend(answers.iter().take(self.logged).map(|a| a.line(step, task, &cell.name)));
            corrupted.extend(cell.corruption.map(|_| right));
        }
        if !corrupted.is_empty() {
            let mean = corrupted.iter().sum::<f64>() / corrupted.len() as f64;
            metrics.put(format!("eval/{task}/corrupted/accuracy"), mean);
        }
        Ok((metrics, lines))
    }

    /// Every question with its answer.
    fn cell(
        &self,
        policy: &LocalPolicy,
        turns: Option<&Turns>,
        cell: &Cell,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answered>> {
        let sampling = policy.greedy(self.max_tokens);
        let indices: Vec<usize> = (0..self.source.len()).collect();
        let mut all = Vec::with_capacity(indices.len());
        for (n, batch) in indices.chunks(BATCH).enumerate() {
            let change = |image: &RgbImage, sample: usize| cell.change(image, self.run_seed, sample);
            let (source, engine, stop) = (&self.source, &Local, &NEVER);
            let asker = Asker { policy, engine, source, turns, sampling: &sampling, stop };
            let answers = asker.ask(batch, (1, &vec![0; batch.len()]), change)?;
            for (sample, _, episodes) in answers {
                for episode in episodes {
                    let grade = self.source.task().grade(&sample, &episode.text);
                    all.push(Answered { sample: sample.clone(), episode, grade });
                }
            }
            tell(n * BATCH + batch.len());
        }
        Ok(all)
    }
}

impl Answered {
    /// A line for `evaluations.jsonl`.
    fn line(&self, step: u64, task: &str, images: &str) -> Value {
        let Self { sample, episode, grade } = self;
        json!({
            "step": step, "task": task, "images": images, "id": sample.id, "question": sample.problem,
            "answer": sample.answer, "completion": episode.text, "tokens": episode.ids.len(),
            "turns": episode.heard.len() + 1, "outcome": grade.outcome,
        })
    }
}

/// What was said and what is true, where both are numbers; `None` where no answer is to be a number.
fn scores(answers: &[Answered]) -> Option<Vec<(f64, f64)>> {
    let truth = |a: &Answered| grade::number::parse(&a.sample.answer);
    let numeric = answers.iter().filter_map(|a| Some((a, truth(a)?)));
    let pairs = numeric.clone().filter_map(|(a, truth)| Some((signed(grade::zone(&a.episode.text))?, truth)));
    numeric.clone().next().map(|_| pairs.collect())
}
