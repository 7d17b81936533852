//! The run of an evaluation: pictures are decoded once, corrupted and encoded on their own threads while the
//! policy answers, and every answer is graded and written as it comes.
//!
//! Decides who waits for whom. Three kinds of threads: those that prepare, bounded by a [`queue::Queue`] of
//! prepared questions; the policy's workers, who answer and grade; and the caller, who writes. Knows nothing
//! of models, protocols or formats.

mod cell;
mod plan;
mod queue;

pub use cell::Cell;
pub(crate) use plan::order;
pub use plan::{Plan, images};

use crate::policy::{Asked, Failed, Policy, Reply, Shown, messages};
use crate::record::{Record, Verdict};
use crate::store::SYNC_EVERY;
use crate::{Error, Result, Store};
use foveate_augment::Scale;
use foveate_datasets::{ImageRef, Sample};
use image::RgbImage;
use queue::Queue;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// Pixels of prepared pictures that may wait: as patches they take 12 bytes each.
const WAITING_PIXELS: usize = 64 << 20;

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was answered in an earlier run.
    Found,
    /// It was asked.
    Asked(Verdict),
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Questions that had an answer already.
    pub found: usize,
    /// Questions asked.
    pub asked: usize,
    /// Of those, calls that failed.
    pub failed: usize,
    /// Whether the run was told to stop before its end.
    pub stopped: bool,
}

/// A sample with its index in the split.
type Indexed = (usize, Sample);

/// What travels from those who prepare to those who answer.
type Ready<P> = (Asked<<P as Policy>::Picture>, Sample);

/// Everything that the threads of a run share.
struct Sweep<'a, P: Policy> {
    plan: &'a Plan<'a>,
    policy: &'a P,
    stop: &'a AtomicBool,
    known: &'a (dyn Fn(&str) -> bool + Sync),
    queue: Queue<Ready<P>>,
    fault: Mutex<Option<Error>>,
}

/// Asks every question of `plan` that `store` has no answer to, and appends the answers. `tell` hears of each
/// question.
///
/// # Errors
/// Broken data, a policy that cannot answer at all, or the disk; what was answered until then is in the store.
pub fn run<P: Policy>(
    plan: &Plan,
    policy: &P,
    store: &mut Store,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Event),
) -> Result<Tally> {
    let answered: std::collections::HashSet<String> = store.records().keys_answered().collect();
    let known = |key: &str| answered.contains(key);
    let queue = Queue::new(WAITING_PIXELS);
    let sweep = Sweep { plan, policy, stop, known: &known, queue, fault: Mutex::new(None) };
    let threads = rayon::ThreadPoolBuilder::new()
        .thread_name(|n| format!("prepare-{n}"))
        .build()
        .map_err(|e| Error::Work(e.to_string()))?;
    let (sender, receiver) = channel::<Option<Record>>();
    let mut tally = Tally::default();
    let written = std::thread::scope(|scope| {
        let preparing = sender.clone();
        scope.spawn(|| threads.install(|| sweep.prepare(preparing)));
        for _ in 0..policy.demand().workers {
            let sender = sender.clone();
            scope.spawn(|| sweep.work(sender));
        }
        drop(sender);
        write(&receiver, store, &mut |event| {
            tally.note(event);
            tell(event);
        })
        .unwrap_or_else(|error| sweep.fail(error));
        store.sync()
    });
    if let Some(error) = sweep.fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    written?;
    tally.stopped = stop.load(Ordering::Relaxed) && tally.found + tally.asked < plan.len();
    Ok(tally)
}

/// Writes what comes until nobody is left to send.
fn write(receiver: &Receiver<Option<Record>>, store: &mut Store, tell: &mut dyn FnMut(Event)) -> Result<()> {
    loop {
        match receiver.recv_timeout(SYNC_EVERY) {
            Ok(None) => tell(Event::Found),
            Ok(Some(record)) => {
                tell(Event::Asked(record.outcome));
                store.append(record)?;
            }
            Err(RecvTimeoutError::Timeout) => store.settle()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

impl Tally {
    fn note(&mut self, event: Event) {
        match event {
            Event::Found => self.found += 1,
            Event::Asked(outcome) => {
                self.asked += 1;
                self.failed += usize::from(outcome == Verdict::Failed);
            }
        }
    }
}

impl<P: Policy> Sweep<'_, P> {
    /// Keeps the first error and lets everybody go home.
    fn fail(&self, error: Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.queue.abandon();
    }

    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
            || self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Decodes, corrupts and encodes, several pictures at once and in about the order of the plan.
    fn prepare(&self, results: Sender<Option<Record>>) {
        self.plan.images.iter().par_bridge().for_each_with(results, |results, run| {
            if self.over() {
                return;
            }
            if let Err(error) = self.image(run.clone(), results) {
                self.fail(error);
            }
        });
        self.queue.close();
    }

    /// The questions about one picture.
    fn image(&self, run: Range<usize>, results: &Sender<Option<Record>>) -> Result<()> {
        let sample = |index: usize| Ok((index, self.plan.task.sample(self.plan.split, index)?));
        let samples: Vec<Indexed> = run.map(sample).collect::<Result<_>>()?;
        let mut wanted: Vec<(&Cell, Vec<(Record, &Sample)>)> = Vec::new();
        for cell in &self.plan.cells {
            let all = samples
                .iter()
                .map(|(index, sample)| (self.plan.question(self.policy, *index, sample, cell), sample));
            let all: Vec<(Record, &Sample)> = all.collect();
            let count = all.len();
            let open: Vec<_> = all.into_iter().filter(|(question, _)| !(self.known)(&question.key)).collect();
            (open.len()..count).for_each(|_| drop(results.send(None)));
            if !open.is_empty() {
                wanted.push((cell, open));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let clean = samples[0].1.images.iter().map(|image| self.decode(image)).collect::<Result<Vec<_>>>();
        let clean = match clean {
            Ok(clean) => clean,
            Err(error) => {
                // The data is at fault, not the model: the questions stay open, and the run goes on.
                let lost = wanted.into_iter().flat_map(|(_, questions)| questions);
                lost.for_each(|(question, _)| drop(results.send(Some(failed(question, &error.to_string())))));
                return Ok(());
            }
        };
        wanted.into_par_iter().for_each_with(results.clone(), |results, (cell, questions)| {
            self.cell(cell, &clean, questions, results);
        });
        Ok(())
    }

    /// A clean picture, at the model's size where corruptions are to come after resizing.
    fn decode(&self, image: &ImageRef) -> Result<std::sync::Arc<RgbImage>> {
        let picture = image.decode()?;
        match self.plan.scale {
            Scale::AfterResize => Ok(self.policy.resize(&picture)?.into()),
            Scale::Native | Scale::Reference(_) => Ok(picture),
        }
    }

    /// The questions about one picture in one kind.
    fn cell(
        &self,
        cell: &Cell,
        clean: &[std::sync::Arc<RgbImage>],
        questions: Vec<(Record, &Sample)>,
        results: &Sender<Option<Record>>,
    ) {
        if self.over() {
            return;
        }
        let show = |(at, picture): (usize, &std::sync::Arc<RgbImage>)| -> Result<Shown<P::Picture>> {
            let name = picture_name(&questions[0].0, at);
            match cell.corruption() {
                None => self.policy.prepare(picture),
                Some(_) => self.policy.prepare(&cell.apply(picture, self.plan.scale, self.plan.seed, &name)),
            }
        };
        let shown = clean.iter().enumerate().map(show).collect::<Result<Vec<_>>>();
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => {
                let lost = questions.into_iter();
                lost.for_each(|(question, _)| {
                    drop(results.send(Some(failed(question, &error.to_string()))));
                });
                return;
            }
        };
        let size: Vec<[u32; 2]> = shown.iter().map(|shown| shown.size).collect();
        let weight = shown.iter().map(|shown| shown.weight).sum::<usize>() / questions.len();
        let pictures: Vec<P::Picture> = shown.into_iter().map(|shown| shown.picture).collect();
        let cost = self.policy.demand().cost(&size);
        for (question, sample) in questions {
            let question = Record { size: size.clone(), ..question };
            let asked = match messages(&question.prompt, pictures.len()) {
                Ok((messages, order)) => {
                    let pictures = order.into_iter().filter_map(|at| pictures.get(at).cloned()).collect();
                    let (problem, choices) = (sample.problem.clone(), sample.choices.clone());
                    Asked { question, problem, choices, messages, pictures, cost }
                }
                Err(error) => {
                    drop(results.send(Some(failed(question, &error.to_string()))));
                    continue;
                }
            };
            if !self.queue.push(weight.max(1), cost, (asked, sample.clone())) {
                return;
            }
        }
    }

    /// Answers and grades until nothing is left.
    fn work(&self, results: Sender<Option<Record>>) {
        let budget = self.policy.demand().budget;
        loop {
            let taken = if self.over() { vec![] } else { self.queue.take(budget) };
            if taken.is_empty() {
                break;
            }
            let (asked, samples): (Vec<_>, Vec<Sample>) = taken.into_iter().unzip();
            match self.policy.answer(&asked) {
                Err(error) => self.fail(error),
                Ok(replies) => {
                    for ((asked, sample), reply) in asked.into_iter().zip(&samples).zip(replies) {
                        let record = self.grade(asked.question, sample, reply);
                        drop(results.send(Some(record)));
                    }
                }
            }
        }
        if self.over() {
            self.queue.abandon();
        }
    }

    fn grade(&self, question: Record, sample: &Sample, reply: Result<Reply, Failed>) -> Record {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return failed(question, &error.0),
        };
        let grade = self.plan.task.grade(sample, &reply.text);
        Record {
            outcome: grade.outcome.into(),
            score: f64::from(grade.score),
            parsed: grade.parsed,
            response: Some(reply.text),
            finish: reply.finish,
            tokens: reply.tokens,
            turns: reply.turns,
            ..question
        }
    }
}

/// What the draws of a corruption call the picture `at` of a question.
pub fn picture_name(question: &Record, at: usize) -> String {
    format!("{}\n{}\n{at}", question.task, question.image)
}

fn failed(question: Record, why: &str) -> Record {
    Record { outcome: Verdict::Failed, error: Some(why.to_owned()), ..question }
}
