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
use crate::ranks;
use crate::recipe::{EvalRecipe, Recipe};
use crate::reward::signed;
use crate::seeds::{Purpose, seed};
use crate::turns::{Episode, Looks, Turns};
use crate::view::resolve;
use foveate_augment::{Corruption, Severity};
use foveate_datasets::{Grade, Outcome, Sample, Split, grade};
use foveate_ranks::{Collective, even_parts};
use image::RgbImage;
use serde::{Deserialize, Serialize};
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

/// What metrics need of an answer, and its line if it is one of the first.
#[derive(Serialize, Deserialize)]
struct Told {
    outcome: Outcome,
    /// What is true and what was said, where they are numbers.
    truth: Option<f64>,
    said: Option<f64>,
    line: Option<String>,
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
    /// corrupted ones. Every rank answers its share of the questions.
    ///
    /// # Errors
    /// Broken data, or those of the model; a lost rank.
    pub fn run(
        &self,
        policy: &LocalPolicy,
        turns: Option<&Turns>,
        (step, ranks): (u64, &dyn Collective),
        observer: &mut dyn Observer,
    ) -> Result<(Metrics, Vec<String>)> {
        let (mut metrics, mut lines) = (Metrics::default(), vec![]);
        let task = self.source.task().name();
        let all = self.cells.len() * self.source.len();
        let mut corrupted = vec![];
        for (n, cell) in self.cells.iter().enumerate() {
            let mut tell = |done: usize| observer.evaluating(n * self.source.len() + done, all);
            let mine = self.cell(policy, turns, cell, ranks, &mut tell)?;
            let told = self.share(ranks).concat().into_iter().zip(&mine).map(|(index, answer)| {
                let line = (index < self.logged).then(|| answer.line(step, task, &cell.name).to_string());
                (index, Told { line, ..answer.told() })
            });
            let answers: Vec<Told> = ranks::in_order(ranks, told.collect())?;
            let share = |outcome: Outcome| {
                let count = answers.iter().filter(|a| a.outcome == outcome).count();
                count as f64 / self.source.len() as f64
            };
            let (prefix, right) = (format!("eval/{task}/{}/", cell.name), share(Outcome::Right));
            metrics.put(format!("{prefix}accuracy"), right);
            metrics.put(format!("{prefix}unparsed"), share(Outcome::Unparsed));
            if turns.is_some() {
                let looks = Looks::of(mine.iter().map(|a| (&a.sample, &a.episode.heard[..])));
                let looks = ranks::all(ranks, looks)?.into_iter().reduce(|sum, theirs| sum.plus(&theirs));
                looks.unwrap_or_default().measure(&mut metrics, &prefix);
            }
            if let Some(pairs) = scores(&answers) {
                metrics.extend(correlations(prefix.trim_end_matches('/'), &pairs));
            }
            lines.extend(answers.into_iter().filter_map(|a| a.line));
            corrupted.extend(cell.corruption.map(|_| right));
        }
        if !corrupted.is_empty() {
            let mean = corrupted.iter().sum::<f64>() / corrupted.len() as f64;
            metrics.put(format!("eval/{task}/corrupted/accuracy"), mean);
        }
        Ok((metrics, lines))
    }

    /// This rank's share of each batch that one rank would ask. Neighbours about one image stay together: a
    /// corruption is drawn for all of them.
    fn share(&self, ranks: &dyn Collective) -> Vec<Vec<usize>> {
        let indices: Vec<usize> = (0..self.source.len()).collect();
        let own = |batch: &[usize]| {
            let about = self.source.about(batch);
            about[even_parts(about.len(), ranks.size())[ranks.rank()].clone()].concat()
        };
        indices.chunks(BATCH).map(own).collect()
    }

    /// Every question of this rank's share with its answer.
    fn cell(
        &self,
        policy: &LocalPolicy,
        turns: Option<&Turns>,
        cell: &Cell,
        ranks: &dyn Collective,
        tell: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answered>> {
        let sampling = policy.greedy(self.max_tokens);
        let (mut all, mut asked) = (vec![], 0);
        for batch in self.share(ranks).into_iter().filter(|batch| !batch.is_empty()) {
            let change = |image: &RgbImage, sample: usize| cell.change(image, self.run_seed, sample);
            let (source, engine, stop) = (&self.source, &Local, &NEVER);
            let asker = Asker { policy, engine, source, turns, sampling: &sampling, stop };
            let answers = asker.ask(&batch, (1, &vec![0; batch.len()]), change)?;
            for (sample, _, episodes) in answers {
                for episode in episodes {
                    let grade = self.source.task().grade(&sample, &episode.text);
                    all.push(Answered { sample: sample.clone(), episode, grade });
                }
            }
            asked += batch.len();
            tell(self.source.len().min(asked * ranks.size()));
        }
        Ok(all)
    }
}

impl Answered {
    fn told(&self) -> Told {
        Told {
            outcome: self.grade.outcome,
            truth: grade::number::parse(&self.sample.answer),
            said: signed(grade::zone(&self.episode.text)),
            line: None,
        }
    }

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
fn scores(answers: &[Told]) -> Option<Vec<(f64, f64)>> {
    let mut numeric = answers.iter().filter(|a| a.truth.is_some()).peekable();
    numeric.peek()?;
    Some(numeric.filter_map(|a| Some((a.said?, a.truth?))).collect())
}
