//! Denominators: how many tokens and sequences the whole mini-batch has, over all its micro-batches
//! and ranks. A mean over a micro-batch is never right: its tokens would weigh more or less than
//! those of another.

use crate::Sequences;
use serde::{Deserialize, Serialize};

/// Which tokens a term is about. Each scope has its own denominators, so that terms do not dilute
/// each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every counted token.
    #[default]
    All,
    /// Counted tokens of sequences that answered right.
    Correct,
    /// Counted tokens of sequences that answered wrong.
    Wrong,
}

impl Scope {
    /// Every scope, in the order of [`Totals`].
    pub const ALL: [Scope; 3] = [Scope::All, Scope::Correct, Scope::Wrong];

    /// Whether a sequence is in scope.
    pub fn holds(self, correct: bool) -> bool {
        match self {
            Self::All => true,
            Self::Correct => correct,
            Self::Wrong => !correct,
        }
    }

    /// The counted tokens of `sequences` that are in scope, `[N]`.
    pub fn mask(self, sequences: &Sequences) -> Vec<bool> {
        let mut mask_n = sequences.counted().to_vec();
        for (range, &correct) in sequences.ranges().iter().zip(sequences.correct()) {
            if !self.holds(correct) {
                mask_n[range.clone()].fill(false);
            }
        }
        mask_n
    }
}

/// Tokens and sequences of one scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Counted tokens.
    pub tokens: f64,
    /// Sequences, those without a counted token included.
    pub sequences: f64,
    /// Sequences with at least one counted token.
    pub filled: f64,
}

/// The counts of a whole mini-batch, one per [`Scope`]. Sums over micro-batches and ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    counts: [Count; Scope::ALL.len()],
}

impl Totals {
    /// The counts of one micro-batch.
    pub fn of(sequences: &Sequences) -> Self {
        let mut totals = Self::default();
        for (s, &correct) in sequences.correct().iter().enumerate() {
            let tokens = sequences.counted_in(s) as f64;
            for scope in Scope::ALL.into_iter().filter(|scope| scope.holds(correct)) {
                let count = &mut totals.counts[scope as usize];
                count.tokens += tokens;
                count.sequences += 1.0;
                count.filled += f64::from(u8::from(tokens > 0.0));
            }
        }
        totals
    }

    /// The counts of `self` and `other` together.
    pub fn plus(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            mine.tokens += theirs.tokens;
            mine.sequences += theirs.sequences;
            mine.filled += theirs.filled;
        }
        self
    }

    /// The counts of one scope.
    pub fn count(&self, scope: Scope) -> Count {
        self.counts[scope as usize]
    }
}

impl<'a> std::iter::FromIterator<&'a Sequences> for Totals {
    fn from_iter<I: IntoIterator<Item = &'a Sequences>>(micro_batches: I) -> Self {
        micro_batches.into_iter().fold(Self::default(), |sum, s| sum.plus(&Self::of(s)))
    }
}
