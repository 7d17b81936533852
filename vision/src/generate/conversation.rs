//! Rollouts over several turns: what was sampled stays as it is, and its keys and values are kept.
//!
//! Decides nothing of what is said between turns; that is handed over as a [`Heard`].

use std::sync::Arc;

use rayon::prelude::*;

use super::cache::Row;
use super::extend::{extend, look};
use super::kept::{Kept, Said};
use super::sampler::{Place, Sampler, Sampling};
use super::{Generated, Request, Stop, decode};
use crate::images::Patches;
use crate::models::VisionLanguageModel;
use crate::processor::Prompt;
use crate::{Error, Result};

/// What a rollout reads between two of its turns.
#[derive(Clone, Debug)]
pub struct Heard {
    /// How many tokens of its last turn stay, from the first; the rest is as if it had never been said.
    pub keep: usize,
    /// The tokens that follow, up to the next turn's opening, and their images.
    pub turn: Arc<Prompt>,
}

/// The rollouts of some requests, request by request, each continued until it is closed.
#[derive(Debug)]
pub struct Conversations<'a> {
    model: &'a VisionLanguageModel,
    requests: &'a [Request],
    rollouts: Vec<Rollout>,
    /// What rollouts left behind, where the model runs the compositions; else each rollout has its own.
    kept: Option<Kept>,
}

/// A rollout on its way.
#[derive(Debug)]
struct Rollout {
    request: usize,
    index: usize,
    /// `None` when it is closed.
    row: Option<Row>,
    /// Of its next token, `[V]`.
    logits: Vec<f32>,
    /// What followed the prompt, and where its last turn begins in it.
    ids: Vec<u32>,
    turn: usize,
    /// The images among them.
    images: Vec<Arc<Patches>>,
    /// Tokens that it drew, those that were dropped included.
    drawn: usize,
}

impl Rollout {
    fn place<'a>(&'a self, requests: &'a [Request]) -> Place<'a> {
        let Request { prompt, seed, .. } = &requests[self.request];
        let (stream, prompt) = (self.index as u64, &prompt.input_ids[..]);
        Place { seed: *seed, stream, drawn: self.drawn, prompt, ids: &self.ids }
    }
}

impl<'a> Conversations<'a> {
    /// Runs the prompts.
    ///
    /// # Errors
    /// An empty prompt, one that does not fit the model, and those of the tensor library.
    pub fn begin(model: &'a VisionLanguageModel, requests: &'a [Request]) -> Result<Self> {
        if let Some(at) = requests.iter().position(|request| request.prompt.input_ids.is_empty()) {
            return Err(Error::input(format!("request {at}"), "prompt", "at least one token", "empty"));
        }
        let composes = model.composes();
        let prompts: Vec<&Prompt> = requests.iter().map(|request| &*request.prompt).collect();
        let (caches, logits) = match composes {
            true => (prompts.iter().map(|_| Arc::default()).collect(), vec![]),
            false => decode::prefill(model, &prompts)?,
        };
        let vocab = model.config().text.vocab_size;
        let mut rollouts = Vec::new();
        for (request, cache) in caches.iter().enumerate() {
            let logits = logits.chunks_exact(vocab).nth(request).unwrap_or_default();
            rollouts.extend((0..requests[request].n).map(|index| {
                let (row, logits) = (Some(Row::new(cache)), logits.to_vec());
                Rollout { request, index, row, logits, ids: vec![], turn: 0, images: vec![], drawn: 0 }
            }));
        }
        let mut talks = Self { model, requests, rollouts, kept: None };
        if composes {
            talks.keep()?;
        }
        Ok(talks)
    }

    /// Samples a turn of every open rollout; `None` for closed ones. In the order of the requests, then of
    /// the rollouts of each.
    ///
    /// # Errors
    /// Settings that cannot be sampled from, logits that are not finite, and those of the tensor library.
    pub fn answer(&mut self, sampling: &Sampling) -> Result<Vec<Option<Generated>>> {
        self.sample(sampling, false)
    }

    /// The same for the last time: memory is freed as rollouts end.
    ///
    /// # Errors
    /// As [`Conversations::answer`].
    pub fn close(mut self, sampling: &Sampling) -> Result<Vec<Option<Generated>>> {
        self.sample(sampling, true)
    }

    /// Puts something to every rollout, in the order of [`Conversations::answer`]; those that get nothing are
    /// closed.
    ///
    /// # Errors
    /// Another number of turns than rollouts, a turn for a closed rollout, one that is empty or keeps more
    /// than was said, image tokens that do not fit its images, and those of the tensor library.
    pub fn hear(&mut self, turns: &[Option<Heard>]) -> Result<()> {
        if turns.len() != self.rollouts.len() {
            return Err(Error::input("conversations", "turns", self.rollouts.len(), turns.len()));
        }
        let composes = self.model.composes();
        let seen = turns.iter().flatten().filter(|_| !composes);
        let looks = look(self.model, seen.map(|heard| &*heard.turn))?;
        let one = |(at, (rollout, heard)): (usize, (&mut Rollout, &Option<Heard>))| {
            let Some(heard) = heard else {
                rollout.row = None;
                return Ok(vec![]);
            };
            let place = format!("rollout {at}");
            let said = rollout.ids.len() - rollout.turn;
            if heard.keep > said || heard.turn.input_ids.is_empty() {
                let expected = format!("at most the {said} tokens said, and something that follows them");
                let found = format!("{} and {} tokens", heard.keep, heard.turn.input_ids.len());
                return Err(Error::input(place, "keep", expected, found));
            }
            let Some(row) = &mut rollout.row else {
                return Err(Error::input(place, "turn", "none, since it is closed", "one"));
            };
            // The last token said has not run yet.
            let unrun = rollout.ids.len() - row.steps;
            if !composes {
                row.forget((said - heard.keep).saturating_sub(unrun));
            }
            rollout.ids.truncate(rollout.turn + heard.keep);
            rollout.images.extend_from_slice(&heard.turn.images);
            if composes {
                rollout.ids.extend_from_slice(&heard.turn.input_ids);
                rollout.turn = rollout.ids.len();
                return Ok(vec![]);
            }
            let mut turn = (*heard.turn).clone();
            turn.input_ids.splice(0..0, rollout.ids[row.steps..].iter().copied());
            rollout.ids.extend_from_slice(&heard.turn.input_ids);
            rollout.turn = rollout.ids.len();
            extend(self.model, row, &turn, &looks)
        };
        let hidden: Vec<Vec<f32>> =
            self.rollouts.par_iter_mut().zip(turns).enumerate().map(one).collect::<Result<_>>()?;
        match composes {
            true => self.keep()?,
            false => self.set_logits(&decode::logits(self.model, &hidden.concat())?),
        }
        Ok(())
    }

    fn sample(&mut self, sampling: &Sampling, last: bool) -> Result<Vec<Option<Generated>>> {
        let sampler = Sampler::new(sampling, self.model.config())?;
        let open = |rollout: &Rollout| rollout.row.is_some().then(Generated::empty);
        let mut done: Vec<Option<Generated>> = self.rollouts.iter().map(open).collect();
        let mut active: Vec<usize> = (0..done.len()).filter(|&at| done[at].is_some()).collect();
        let mut logits = Vec::new();
        for &at in &active {
            logits.append(&mut self.rollouts[at].logits);
        }
        for step in 0..sampling.max_tokens {
            let places: Vec<_> = active.iter().map(|&at| self.rollouts[at].place(self.requests)).collect();
            let draws = sampler.draw_all(&mut logits, &places, step)?;
            let end = step + 1 == sampling.max_tokens;
            let mut kept = Vec::with_capacity(active.len());
            for (at, draw) in active.into_iter().zip(&draws) {
                let (rollout, Some(generated)) = (&mut self.rollouts[at], &mut done[at]) else { continue };
                generated.push(draw);
                rollout.ids.push(draw.id);
                rollout.drawn += 1;
                if sampling.stop_ids.contains(&draw.id) {
                    generated.stop = Stop::Stop;
                } else if !end {
                    kept.push(at);
                    continue;
                }
                rollout.row = rollout.row.take().filter(|_| !last);
            }
            active = kept;
            if active.is_empty() {
                break;
            }
            logits = self.step(&active)?;
        }
        // It serves one turn; the next begins anew.
        self.kept = None;
        Ok(done)
    }

    /// Runs everything that the open rollouts said, and keeps what it leaves behind.
    fn keep(&mut self) -> Result<()> {
        self.kept = None;
        let open = self.rollouts.iter().enumerate().filter(|(_, rollout)| rollout.row.is_some());
        let said = open.map(|(at, Rollout { request, ids, images, .. })| {
            let prompt = &*self.requests[*request].prompt;
            Said { rollout: at, prompt, ids, images }
        });
        let said: Vec<Said> = said.collect();
        if said.is_empty() {
            return Ok(());
        }
        let (kept, logits) = Kept::begin(self.model, &said)?;
        self.kept = Some(kept);
        self.set_logits(&logits);
        Ok(())
    }

    /// Of the open rollouts, in order.
    fn set_logits(&mut self, logits: &[f32]) {
        let vocab = self.model.config().text.vocab_size;
        let open = self.rollouts.iter_mut().filter(|rollout| rollout.row.is_some());
        open.zip(logits.chunks_exact(vocab)).for_each(|(rollout, logits)| rollout.logits = logits.to_vec());
    }

    /// Runs the last token of the `active` rollouts (in order); their logits.
    fn step(&mut self, active: &[usize]) -> Result<Vec<f32>> {
        if let Some(kept) = &mut self.kept {
            let last = |&at: &usize| Some((at, *self.rollouts[at].ids.last()?));
            return kept.step(self.model, &active.iter().filter_map(last).collect::<Vec<_>>());
        }
        let mut next = active.iter().peekable();
        let active =
            self.rollouts.iter_mut().enumerate().filter(|(at, _)| next.next_if(|n| *n == at).is_some());
        let mut rows: Vec<&mut Row> = active
            .filter_map(|(_, Rollout { row, ids, .. })| {
                let row = row.as_mut()?;
                row.next = *ids.last()?;
                Some(row)
            })
            .collect();
        decode::step(self.model, &mut rows)
    }
}
