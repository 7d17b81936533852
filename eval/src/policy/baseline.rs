//! Policies that look at nothing: what a score is worth.

use super::{Asked, Demand, Failed, Policy, Reply, Shown, local::draw_of};
use crate::{Record, Result};
use image::RgbImage;
use std::collections::{BTreeMap, BTreeSet};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineKind {
    /// A uniform draw from the options; without options, from the answers that questions of its family have.
    Chance,
    /// `A`; without options, the commonest answer of its family.
    AlwaysA,
}

impl BaselineKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Chance, Self::AlwaysA];

    /// The name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chance => "chance",
            Self::AlwaysA => "always-a",
        }
    }
}

/// A policy that looks at nothing.
#[derive(Clone, Debug)]
pub struct Baseline {
    kind: BaselineKind,
    /// The answers of each family of questions, and how many have it.
    answers: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Baseline {
    /// One that knows which answers occur, from the questions it will be asked: family and right answer of each.
    pub fn new(kind: BaselineKind, known: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut answers: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (family, answer) in known {
            *answers.entry(family).or_default().entry(answer).or_default() += 1;
        }
        Self { kind, answers }
    }

    fn say(&self, question: &Record) -> Option<String> {
        let draw = draw_of(&question.key);
        let pick = |n: usize| (draw % n.max(1) as u64) as usize;
        if !question.order.is_empty() {
            let at = if self.kind == BaselineKind::Chance { pick(question.order.len()) } else { 0 };
            return Some(foveate_datasets::grade::choice::letter(at).to_string());
        }
        let known = self.answers.get(&family(question))?;
        match self.kind {
            BaselineKind::Chance => known.keys().nth(pick(known.len())).cloned(),
            BaselineKind::AlwaysA => {
                // Of equally common answers the first in the alphabet: the same on every machine.
                let most: BTreeSet<_> = known.iter().map(|(answer, n)| (usize::MAX - n, answer)).collect();
                most.first().map(|(_, answer)| (*answer).clone())
            }
        }
    }
}

/// What a question is filed under for baselines.
pub(crate) fn family(question: &Record) -> String {
    question.field("family").unwrap_or_default()
}

impl Policy for Baseline {
    type Picture = ();

    fn name(&self) -> &str {
        self.kind.name()
    }

    fn sampling(&self) -> String {
        "none".into()
    }

    fn prepare(&self, picture: &RgbImage) -> Result<Shown<()>> {
        Ok(Shown::unseen(picture))
    }

    fn demand(&self) -> Demand {
        Demand::UNSEEING
    }

    fn answer(&self, asked: &[Asked<()>]) -> Result<Vec<Result<Reply, Failed>>> {
        let say = |asked: &Asked<()>| {
            let text = self.say(&asked.question);
            let text = text.ok_or_else(|| Failed("no answer of this family of questions is known".into()))?;
            Ok(Reply { text, finish: Some("stop".into()), ..Reply::default() })
        };
        Ok(asked.iter().map(say).collect())
    }
}
