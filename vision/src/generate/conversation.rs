//! Rollouts over several turns: what was sampled stays as it is, and its keys and values are kept.
//!
//! Decides nothing of what is said between turns; that is handed over as a [`Heard`].

use std::sync::Arc;

use rayon::prelude::*;

use super::cache::Row;
use super::extend::{extend, look};
use super::sampler::{Place, Sampler, Sampling};
use super::{Generated, Request, Stop, decode, recompute};
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
        let prompts: Vec<&Prompt> = requests.iter().map(|request| &*request.prompt).collect();
        let (caches, logits) = match model.composes() {
            true => recompute::begin(model, &prompts)?,
            false => decode::prefill(model, &prompts)?,
        };
        let vocab = model.config().text.vocab_size;
        let mut rollouts = Vec::new();
        for (request, (cache, logits)) in caches.into_iter().zip(logits.chunks_exact(vocab)).enumerate() {
            rollouts.extend((0..requests[request].n).map(|index| {
                let (row, logits) = (Some(Row::new(&cache)), logits.to_vec());
                Rollout { request, index, row, logits, ids: vec![], turn: 0, images: vec![], drawn: 0 }
            }));
        }
        Ok(Self { model, requests, rollouts })
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
        let open: Vec<usize> = (0..turns.len()).filter(|&at| self.rollouts[at].row.is_some()).collect();
        let logits = match composes {
            true => self.recompute(&open)?,
            false => decode::logits(self.model, &hidden.concat())?,
        };
        let vocab = self.model.config().text.vocab_size;
        let open = self.rollouts.iter_mut().filter(|rollout| rollout.row.is_some());
        open.zip(logits.chunks_exact(vocab)).for_each(|(rollout, logits)| rollout.logits = logits.to_vec());
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
        Ok(done)
    }

    /// The logits of the `active` rollouts (in order), with everything they said run anew.
    fn recompute(&self, active: &[usize]) -> Result<Vec<f32>> {
        let said = |at: &usize| {
            let rollout = &self.rollouts[*at];
            (rollout.request, (&rollout.ids[..], &rollout.images[..]))
        };
        let all: Vec<(usize, recompute::Said)> = active.iter().map(said).collect();
        let groups = all.chunk_by(|a, b| a.0 == b.0).map(|group| {
            (&*self.requests[group[0].0].prompt, group.iter().map(|(_, said)| *said).collect::<Vec<_>>())
        });
        match active.is_empty() {
            true => Ok(vec![]),
            false => recompute::logits(self.model, &groups.collect::<Vec<_>>()),
        }
    }

    /// Runs the last token of the `active` rollouts (in order); their logits.
    fn step(&mut self, active: &[usize]) -> Result<Vec<f32>> {
        if self.model.composes() {
            return self.recompute(active);
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
