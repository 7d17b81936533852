//! Questions put to a server until each is answered.
//!
//! Decides what becomes of a server that ends in the middle. Once a call has broken off, the server may come
//! back as another process with the weights of its start: nothing that arrives after that is used. The round
//! ends, the weights are pushed again, and what is missing is asked again, with the same seeds.

use super::request::{self, Pictures, Scale, Wish};
use super::server::Server;
use super::{Call, Trouble};
use crate::data::Question;
use crate::policy::LocalPolicy;
use crate::{Error, Result};
use foveate_eval::server::{Fault, Streak};
use foveate_vision::generate::Generated;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Questions on their way.
pub(super) struct Rounds<'a> {
    server: &'a Server,
    policy: &'a LocalPolicy,
    questions: &'a [Question],
    call: Call<'a>,
    pictures: Pictures,
    bias: Value,
}

/// What one round came to.
#[derive(Default)]
struct Round {
    answered: Vec<(usize, Vec<Generated>)>,
    trouble: Option<Trouble>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        server: &'a Server,
        policy: &'a LocalPolicy,
        questions: &'a [Question],
        call: Call<'a>,
    ) -> Result<Self> {
        let pictures = Pictures::of(&policy.processor.images, questions)?;
        let bias = request::bias(call.sampling, policy.model.config());
        Ok(Self { server, policy, questions, call, pictures, bias })
    }

    /// Asks until there are answers to all.
    pub(super) fn run(&self) -> Result<Vec<Vec<Generated>>> {
        let mut all: Vec<Option<Vec<Generated>>> = vec![None; self.questions.len()];
        let (mut clock, mut tries) = (Instant::now(), 0);
        loop {
            let missing: Vec<usize> = (0..all.len()).filter(|&at| all[at].is_none()).collect();
            let Round { answered, trouble } = self.round(&missing);
            // A server that was replaced unnoticed has answered with other weights.
            let replaced = !self.server.still().unwrap_or(true);
            if !answered.is_empty() && !replaced {
                (clock, tries) = (Instant::now(), 0);
                answered.into_iter().for_each(|(at, answers)| all[at] = Some(answers));
            }
            let left = all.iter().filter(|answers| answers.is_none()).count();
            let why = match trouble {
                None if left == 0 => break,
                None => "it is not the server that got the weights".into(),
                Some(Trouble::Fault(Fault::Passing { why, .. })) => why,
                Some(trouble) => return Err(trouble.last(self.server.client.root())),
            };
            self.server.count("engine/asked_again", left as f64);
            self.server.wait(&clock, tries, self.call.stop).map_err(|error| match error {
                Error::Server { url, message } => {
                    let message =
                        format!("{message}; {left} of {} questions are unanswered: {why}", all.len());
                    Error::Server { url, message }
                }
                other => other,
            })?;
            tries += 1;
            self.server.bring(self.policy, self.call.stop)?;
        }
        Ok(all.into_iter().flatten().collect())
    }

    /// Asks the questions at `missing`, until all are answered or one call breaks off.
    fn round(&self, missing: &[usize]) -> Round {
        let (next, broken) = (AtomicUsize::new(0), AtomicBool::new(false));
        let round = Mutex::new(Round::default());
        let (model, scale) = self.server.spoken();
        let streak = Streak::default();
        let work = || {
            while let Some(&at) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                if broken.load(Ordering::SeqCst) {
                    return;
                }
                let answers = self.ask(at, (&model, scale), &streak);
                let mut round = round.lock().unwrap_or_else(PoisonError::into_inner);
                match answers {
                    Ok(answers) if !broken.load(Ordering::SeqCst) => round.answered.push((at, answers)),
                    Ok(_) => {}
                    Err(trouble) => {
                        broken.store(true, Ordering::SeqCst);
                        round.trouble.get_or_insert(trouble);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            (0..self.server.concurrency.min(missing.len())).for_each(|_| drop(scope.spawn(work)));
        });
        round.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// One question; a server that is busy is asked again at once, one that may be gone is not.
    fn ask(
        &self,
        at: usize,
        (model, scale): (&str, Scale),
        streak: &Streak,
    ) -> Result<Vec<Generated>, Trouble> {
        let (question, seed) = (&self.questions[at], self.call.seeds[at]);
        let Call { n, sampling, stop, .. } = self.call;
        let wish = Wish { model, n, seed, sampling, bias: &self.bias, endless: false };
        let body = request::body(question, self.pictures.urls(question), wish).to_string();
        let mut gone = None;
        let reply = self.server.retry.run(seed, streak, stop, || {
            self.server.client.chat(body.as_bytes()).map_err(|fault| match fault {
                Fault::Passing { why, gone: true, .. } => {
                    gone = Some(Fault::passing(why.clone(), true));
                    Fault::Final(why)
                }
                fault if self.server.forgot(&fault) => {
                    gone = Some(Fault::passing(fault.why().into(), true));
                    fault
                }
                other => other,
            })
        });
        let reply = reply.map_err(|fault| match (gone, fault) {
            (Some(gone), _) => gone,
            (None, Fault::Final(why)) => Fault::Final(format!("sample {}: {why}", question.sample.id)),
            (None, other) => other,
        })?;
        request::answers((self.server.client.root(), question), &reply, wish, scale)
    }
}
