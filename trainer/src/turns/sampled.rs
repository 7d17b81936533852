//! Conversations that the policy holds.

use super::{Episode, Heard, Opened, Turns};
use crate::policy::LocalPolicy;
use crate::{Error, Result};
use foveate_vision::generate::{self, Conversations, Generated, Request, Sampling, Stop};
use foveate_vision::grounding::{Dialogue, Next, Turn};
use foveate_vision::images::Patches;
use foveate_vision::processor::Prompt;
use foveate_vision::text::Message;
use rayon::prelude::*;
use std::sync::Arc;

/// A conversation under way.
struct Talk<'a, 'b> {
    opened: &'b Opened<'a>,
    dialogue: Dialogue<'a>,
    episode: Episode,
}

impl Turns {
    /// Answers every opened question `n` times; `seeds` has one seed a question. The result has one list a
    /// question. `sampling.max_tokens` is the longest turn.
    ///
    /// # Errors
    /// Those of the model, and of a part of an image that cannot be resized.
    pub fn answer(
        &self,
        policy: &LocalPolicy,
        opened: &[Opened<'_>],
        (n, seeds): (usize, &[u64]),
        sampling: &Sampling,
    ) -> Result<Vec<Vec<Episode>>> {
        let request =
            |(opened, &seed): (&Opened<'_>, &u64)| Request { prompt: opened.prompt.clone(), n, seed };
        let requests: Vec<_> = opened.iter().zip(seeds).map(request).collect();
        let mut talks: Vec<Talk<'_, '_>> = Vec::with_capacity(n * opened.len());
        for opened in opened {
            let talk = || Talk { opened, dialogue: opened.dialogue.clone(), episode: Episode::new() };
            talks.extend(std::iter::repeat_with(talk).take(n));
        }
        let mut model = Conversations::begin(&policy.model, &requests)?;
        for _ in 1..self.protocol.turns {
            let said = model.answer(sampling)?;
            let listen = |(talk, said): (&mut Talk<'_, '_>, &Option<Generated>)| match said {
                Some(said) => talk.listen(policy, said),
                None => Ok(None),
            };
            let heard = talks.par_iter_mut().zip(&said).map(listen).collect::<Result<Vec<_>>>()?;
            model.hear(&heard)?;
        }
        for (talk, said) in talks.iter_mut().zip(&model.close(sampling)?) {
            if let Some(said) = said {
                talk.answered(policy, said)?;
            }
        }
        let mut episodes = talks.into_iter().map(|talk| talk.episode);
        Ok(opened.iter().map(|_| episodes.by_ref().take(n).collect()).collect())
    }
}

impl Turns {
    /// The conversation in which the model says `said`, turn by turn: for replies that were sampled elsewhere.
    ///
    /// # Errors
    /// Another number of turns than the rules allow, and as [`Turns::answer`].
    pub fn follow(&self, policy: &LocalPolicy, opened: &Opened<'_>, said: &[Generated]) -> Result<Episode> {
        let mut talk = Talk { opened, dialogue: opened.dialogue.clone(), episode: Episode::new() };
        for (turn, reply) in (1..).zip(said) {
            let last = turn == self.protocol.turns || talk.listen(policy, reply)?.is_none();
            if turn == self.protocol.turns {
                talk.answered(policy, reply)?;
            }
            if last != (turn == said.len()) {
                let (name, expected, found) = ("turns".into(), self.protocol.turns, said.len());
                return Err(Error::Size { name, expected, found });
            }
        }
        Ok(talk.episode)
    }
}

impl Episode {
    fn new() -> Self {
        Self { finished: true, ..Self::default() }
    }

    /// An answer of one turn, whose text `read` knows.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn single(said: Generated, read: impl Fn(&[u32]) -> Result<String>) -> Result<Self> {
        let (finished, text) = (said.stop == Stop::Stop, read(&said.ids)?);
        Ok(Self { ids: said.ids, logp_tempered: said.logp_tempered, heard: vec![], text, finished })
    }

    pub(super) fn take(&mut self, ids: &[u32], logp: &[f32]) {
        self.ids.extend_from_slice(ids);
        self.logp_tempered.extend_from_slice(logp);
    }
}

impl Talk<'_, '_> {
    /// Takes what was said; what follows, for the model to read.
    fn listen(&mut self, policy: &LocalPolicy, said: &Generated) -> Result<Option<generate::Heard>> {
        let text = policy.text(&said.ids)?;
        let Next::Turn(turn) = self.dialogue.reply(&text) else {
            self.answered(policy, said)?;
            return Ok(None);
        };
        let kept = kept(policy, &said.ids, &text, turn.keep)?;
        let prompt = user_turn(policy, &self.dialogue, &turn, self.opened.original())?;
        let closing = prompt.input_ids[0];
        let keep = Kept::of(said, kept, closing);
        self.episode.take(&said.ids[..keep.said], &said.logp_tempered[..keep.said]);
        self.episode.finished &= turn.region.is_ok() || said.stop == Stop::Stop;
        let behind = Prompt { input_ids: prompt.input_ids[1..].to_vec(), images: prompt.images.clone() };
        let heard = match keep.closed {
            true => behind.clone(),
            false => {
                self.episode.take(&[closing], &[f32::NAN]);
                prompt
            }
        };
        let reply = text[..turn.keep].to_string();
        let (after, prompt) = (self.episode.ids.len(), Arc::new(behind));
        self.episode.heard.push(Heard { after, prompt, reply, region: turn.region });
        Ok(Some(generate::Heard { keep: keep.said, turn: Arc::new(heard) }))
    }

    fn answered(&mut self, policy: &LocalPolicy, said: &Generated) -> Result<()> {
        self.episode.text = policy.text(&said.ids)?;
        self.episode.take(&said.ids, &said.logp_tempered);
        self.episode.finished &= said.stop == Stop::Stop;
        Ok(())
    }
}

/// How much of a turn stays.
struct Kept {
    /// Sampled tokens.
    said: usize,
    /// Whether the last of them closes the turn.
    closed: bool,
}

impl Kept {
    /// `kept` tokens carry the text that stays. The closing token stays as it was sampled where one was; else
    /// it takes the place of another stop token, or of the last token of a turn that was cut off, as in the
    /// authors' code.
    fn of(said: &Generated, kept: usize, closing: u32) -> Self {
        let (n, next) = (said.ids.len(), said.ids.get(kept));
        if kept < n && next == Some(&closing) {
            return Self { said: kept + 1, closed: true };
        }
        let closed = kept == n && said.ids.last() == Some(&closing);
        Self { said: if kept == n && !closed { kept.saturating_sub(1) } else { kept }, closed }
    }
}

/// The fewest tokens, from the first, whose text begins with the first `bytes` of `text`; all of them where
/// all of the text stays.
fn kept(policy: &LocalPolicy, ids: &[u32], text: &str, bytes: usize) -> Result<usize> {
    if bytes == text.len() {
        return Ok(ids.len());
    }
    let (mut low, mut high) = (0, ids.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        match policy.text(&ids[..middle])?.starts_with(&text[..bytes]) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Ok(low)
}

/// The ids of a user's turn, from the closing token of the assistant's turn before it.
pub(super) fn user_turn(
    policy: &LocalPolicy,
    dialogue: &Dialogue<'_>,
    turn: &Turn,
    original: &Arc<Patches>,
) -> Result<Prompt> {
    let patches = match &turn.part {
        Some(part) => Arc::new(policy.processor.images.patches(part)?),
        None => original.clone(),
    };
    // The last two messages are the reply and the turn itself.
    let messages = dialogue.messages();
    let history: &[Message] = &messages[..messages.len() - 2];
    Ok(policy.processor.turn(history, &turn.message, &[patches])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSING: u32 = 9;

    fn said(ids: &[u32], stop: Stop) -> Generated {
        let logp = vec![-1.0; ids.len()];
        let (logp_raw, logp_tempered, logp_sampled) = (logp.clone(), logp.clone(), logp);
        Generated { ids: ids.to_vec(), logp_raw, logp_tempered, logp_sampled, stop }
    }

    /// Ids, why they ended, how many carry the text that stays; what stays, and whether it is closed.
    #[test]
    fn a_turn_is_closed_once_and_what_was_sampled_stays() {
        for (ids, stop, kept, want) in [
            (&[1, 2, CLOSING][..], Stop::Stop, 3, (3, true)),
            // Another stop token: replaced.
            (&[1, 2, 8], Stop::Stop, 3, (2, false)),
            // Cut off: the last token is replaced.
            (&[1, 2, 3], Stop::Length, 3, (2, false)),
            // Text behind a box is dropped.
            (&[1, 2, 3, CLOSING], Stop::Stop, 2, (2, false)),
            // Nothing behind it but the closing token, which was sampled.
            (&[1, 2, CLOSING], Stop::Stop, 2, (3, true)),
            (&[1, 2, 3], Stop::Length, 2, (2, false)),
            (&[8], Stop::Stop, 1, (0, false)),
        ] {
            let found = Kept::of(&said(ids, stop), kept, CLOSING);
            assert_eq!((found.said, found.closed), want, "{ids:?} {stop:?} {kept}");
        }
    }
}
