//! Any policy that looks twice: it says where to look, is shown that part of the picture, and answers (MGPO).
//!
//! Decides what of a conversation is asked and remembered. Its rules are [`foveate_vision::grounding`]'s. The policy inside
//! is given the whole conversation at each turn, as text and pictures: a model of this process and a server read the same.
//! The part is cut out of the picture as it was asked about: corrupted, and as large as it came.

use super::{Asked, Demand, Failed, Policy, Reply, Shown};
use crate::record::{Record, digest};
use crate::{Error, Result};
use foveate_vision::grounding::{Dialogue, Next, Protocol, Turn, note};
use image::RgbImage;
use serde_json::{Value, json};
use std::sync::Arc;

/// A policy that holds conversations.
#[derive(Clone, Debug)]
pub struct Turns<P> {
    inner: P,
    protocol: Protocol,
}

/// A picture as the policy inside takes it, with the pixels that parts are cut out of.
#[derive(Clone, Debug)]
pub struct Original<Q> {
    pixels: Arc<RgbImage>,
    shown: Q,
}

/// A conversation under way.
struct Talk<'a, Q> {
    dialogue: Dialogue<'a>,
    /// What the policy inside is asked next.
    asked: Asked<Q>,
    /// The question's own key.
    key: String,
    turns: Vec<Value>,
    tokens: Option<u32>,
    over: Option<Result<Reply, Failed>>,
}

impl<P: Policy> Turns<P> {
    /// Asks `inner` by the rules of `protocol`, which is that of its model.
    pub fn new(inner: P, protocol: Protocol) -> Self {
        Self { inner, protocol }
    }

    /// Who is asked.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    fn open(&self, asked: &Asked<Original<P::Picture>>) -> Result<Talk<'_, P::Picture>, Failed> {
        let [picture] = &asked.pictures[..] else {
            let found = asked.pictures.len();
            return Err(Failed(format!("a conversation is about one picture, but there are {found}")));
        };
        let (task, pixels) = (&asked.question.prompt, picture.pixels.clone());
        let dialogue = Dialogue::open(&self.protocol, pixels, &asked.problem, task);
        let dialogue = dialogue.map_err(|error| Failed(error.to_string()))?;
        let first = Asked {
            question: asked.question.clone(),
            problem: asked.problem.clone(),
            choices: asked.choices.clone(),
            messages: dialogue.messages().to_vec(),
            pictures: vec![picture.shown.clone()],
            cost: asked.cost,
        };
        let key = asked.question.key.clone();
        Ok(Talk { dialogue, asked: first, key, turns: vec![], tokens: Some(0), over: None })
    }

    /// Takes a reply, and makes the next turn where there is one.
    fn listen(&self, talk: &mut Talk<'_, P::Picture>, reply: Result<Reply, Failed>) {
        let reply = match reply {
            Ok(reply) => reply,
            Err(failed) => return talk.over = Some(Err(failed)),
        };
        talk.tokens = talk.tokens.zip(reply.tokens).map(|(before, now)| before + now);
        match talk.dialogue.reply(&reply.text) {
            Next::Answer => {
                let (turns, tokens) = (std::mem::take(&mut talk.turns), talk.tokens);
                talk.over = Some(Ok(Reply { turns, tokens, ..reply }));
            }
            Next::Turn(turn) => match self.shown(talk, &turn) {
                Ok((picture, size)) => talk.go_on(&turn, &reply, picture, size),
                Err(error) => talk.over = Some(Err(Failed(error.to_string()))),
            },
        }
    }

    /// The part that was asked for, or the first picture again, with its size as the model sees it.
    fn shown(&self, talk: &Talk<'_, P::Picture>, turn: &Turn) -> Result<(P::Picture, Option<[u32; 2]>)> {
        match &turn.part {
            Some(part) => self.inner.prepare(part).map(|shown| (shown.picture, Some(shown.size))),
            None => Ok((talk.asked.pictures[0].clone(), talk.asked.question.size.first().copied())),
        }
    }
}

impl<Q> Talk<'_, Q> {
    fn go_on(&mut self, turn: &Turn, reply: &Reply, picture: Q, size: Option<[u32; 2]>) {
        let mut line = note(&reply.text[..turn.keep], &turn.region);
        (line["finish"], line["tokens"], line["size"]) =
            (json!(reply.finish), json!(reply.tokens), json!(size));
        self.turns.push(line);
        self.asked.messages = self.dialogue.messages().to_vec();
        self.asked.pictures.push(picture);
        // Draws of their own for each turn.
        let key = digest(format!("{}\nturn {}", self.key, self.turns.len()).as_bytes(), 16);
        self.asked.question = Record { key, ..std::mem::take(&mut self.asked.question) };
    }
}

impl<P: Policy> Policy for Turns<P> {
    type Picture = Original<P::Picture>;

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn sampling(&self) -> String {
        let Protocol { script, turns, forced, frame, rules, .. } = &self.protocol;
        let (forced, frame) = (if *forced { "" } else { "up to " }, frame.name());
        let looking =
            format!("{} in {forced}{turns} turns, boxes in {frame} over {}", script.name, rules.min_side);
        format!("{looking}, {} a turn", self.inner.sampling())
    }

    fn pixels(&self) -> Option<[u64; 2]> {
        self.inner.pixels()
    }

    fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        self.inner.resize(picture)
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<Self::Picture>> {
        let Shown { picture: shown, size, weight } = self.inner.prepare(picture)?;
        let pixels = Arc::new(picture.clone());
        // The original waits too, with three of twelve bytes a pixel.
        let weight = weight + pixels.as_raw().len() / 12;
        Ok(Shown { picture: Original { pixels, shown }, size, weight })
    }

    /// Each further turn has another answer and, at most, another picture as large as the first.
    fn demand(&self) -> Demand {
        let (inner, turns) = (self.inner.demand(), self.protocol.turns);
        let pixels = if inner.pixels == 0 { 0 } else { (inner.pixels / turns).max(1) };
        Demand { question: inner.question * turns, pixels, ..inner }
    }

    fn answer(&self, asked: &[Asked<Self::Picture>]) -> Result<Vec<Result<Reply, Failed>>> {
        let mut talks: Vec<Result<Talk<'_, _>, Failed>> = asked.iter().map(|one| self.open(one)).collect();
        for _ in 0..self.protocol.turns {
            let open = talks.iter_mut().filter_map(|talk| talk.as_mut().ok());
            let mut open: Vec<_> = open.filter(|talk| talk.over.is_none()).collect();
            if open.is_empty() {
                break;
            }
            let batch: Vec<Asked<_>> = open.iter().map(|talk| talk.asked.clone()).collect();
            let replies = self.inner.answer(&batch)?;
            open.iter_mut().zip(replies).for_each(|(talk, reply)| self.listen(talk, reply));
        }
        let unended = || Error::Work("a conversation did not end".into());
        talks
            .into_iter()
            .map(|talk| talk.map_or_else(|e| Ok(Err(e)), |t| t.over.ok_or_else(unended)))
            .collect()
    }
}
