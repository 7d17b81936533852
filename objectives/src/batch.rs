//! One micro-batch of scored tokens, flat, with the boundaries of its sequences.
//!
//! `_n`: scored token, `_s`: sequence. A micro-batch knows nothing of the mini-batch it is part of;
//! denominators come from [`crate::Totals`].

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A per-token tensor that only some terms read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Log-probabilities under the frozen reference model.
    Reference,
    /// What the sampler said of each token; NaN for one that it did not sample.
    Sampled,
    /// Entropy of the whole next-token distribution under the current weights, with gradient.
    Entropy,
    /// Log-probabilities of the same tokens given the view of this name (a corrupted image).
    View(String),
    /// The same under the weights that sampled the tokens, without gradient.
    OldView(String),
    /// Entropy of the whole next-token distribution given the view of this name.
    ViewEntropy(String),
    /// `KL(policy ‖ reference)` summed over the vocabulary, with the policy's gradient.
    ReferenceDivergence,
    /// `KL(clean ‖ view)` summed over the vocabulary, with the gradient of the branch.
    ViewDivergence(String, Branch),
}

/// Which side of a comparison of a clean image with a view carries the gradient.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Branch {
    /// The policy that sees the clean image.
    #[default]
    Clean,
    /// The policy that sees the view.
    View,
    /// Both.
    Both,
}

impl Signal {
    /// The view it is about, if any.
    pub fn view(&self) -> Option<&str> {
        match self {
            Self::Reference | Self::Sampled | Self::Entropy | Self::ReferenceDivergence => None,
            Self::View(name)
            | Self::OldView(name)
            | Self::ViewEntropy(name)
            | Self::ViewDivergence(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::Sampled => f.write_str("sampled"),
            Self::Entropy => f.write_str("entropy"),
            Self::View(name) => write!(f, "view({name})"),
            Self::OldView(name) => write!(f, "old_view({name})"),
            Self::ViewEntropy(name) => write!(f, "view_entropy({name})"),
            Self::ReferenceDivergence => f.write_str("reference_divergence"),
            Self::ViewDivergence(name, branch) => write!(f, "view_divergence({name}, {branch:?})"),
        }
    }
}

/// Where sequences begin and end in a flat row, which tokens count, and which sequences are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    ranges_s: Vec<Range<usize>>,
    counted_n: Vec<bool>,
    correct_s: Vec<bool>,
}

impl Sequences {
    /// Sequences that tile `0..N` in order.
    ///
    /// `counted_n` is false on tokens that were scored but belong to nobody's loss (a user's turn, a
    /// truncated answer); `correct_s` is the accuracy gate, not the sign of the reward.
    ///
    /// # Errors
    /// [`Error::Length`] when the ranges leave a gap or the lists disagree.
    pub fn new(ranges_s: Vec<Range<usize>>, counted_n: Vec<bool>, correct_s: Vec<bool>) -> Result<Self> {
        let mut end = 0;
        for (s, range) in ranges_s.iter().enumerate() {
            if range.start != end || range.end < range.start {
                return Err(Error::Length {
                    what: format!("the row before sequence {s}"),
                    expected: end,
                    found: range.start,
                });
            }
            end = range.end;
        }
        length("counted_n", end, counted_n.len())?;
        length("correct_s", ranges_s.len(), correct_s.len())?;
        Ok(Self { ranges_s, counted_n, correct_s })
    }

    /// Sequences all of whose tokens count and which are all called correct.
    ///
    /// # Errors
    /// As [`Sequences::new`].
    pub fn whole(ranges_s: Vec<Range<usize>>) -> Result<Self> {
        let tokens = ranges_s.last().map_or(0, |r| r.end);
        let sequences = ranges_s.len();
        Self::new(ranges_s, vec![true; tokens], vec![true; sequences])
    }

    /// Number of scored tokens, N.
    pub fn tokens(&self) -> usize {
        self.counted_n.len()
    }

    /// Number of sequences, S.
    pub fn len(&self) -> usize {
        self.ranges_s.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.ranges_s.is_empty()
    }

    /// The tokens of each sequence.
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges_s
    }

    /// Which tokens count.
    pub fn counted(&self) -> &[bool] {
        &self.counted_n
    }

    /// Which sequences answered right.
    pub fn correct(&self) -> &[bool] {
        &self.correct_s
    }

    /// Number of counted tokens of sequence `s`.
    pub fn counted_in(&self, s: usize) -> usize {
        self.ranges_s[s].clone().filter(|&n| self.counted_n[n]).count()
    }

    /// The mean over its counted tokens of each sequence, given back to every token: `[N]` to `[N]`,
    /// differentiable. Tokens of a sequence without counted tokens get 0.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn mean_over_sequence(&self, x_n: &Tensor) -> Result<Tensor> {
        let mut sequence_n = vec![0u32; self.tokens()];
        let mut share_s = Vec::with_capacity(self.len());
        for (s, range) in self.ranges_s.iter().enumerate() {
            sequence_n[range.clone()].fill(s as u32);
            share_s.push(1.0 / self.counted_in(s).max(1) as f64);
        }
        let (device, dtype) = (x_n.device(), x_n.dtype());
        let sequence_n = Tensor::new(sequence_n, device)?;
        let share_s = Tensor::new(share_s, device)?.to_dtype(dtype)?;
        let sums_s = share_s.zeros_like()?.index_add(&sequence_n, &self.kept(x_n)?, 0)?;
        Ok((sums_s * share_s)?.index_select(&sequence_n, 0)?)
    }

    /// `x_n` with zeros where a token does not count. A choice, not a product: 0 · inf is NaN.
    pub(crate) fn kept(&self, x_n: &Tensor) -> Result<Tensor> {
        keep(&self.counted_n, x_n)
    }
}

/// `x_n` with zeros where `mask_n` is false.
pub(crate) fn keep(mask_n: &[bool], x_n: &Tensor) -> Result<Tensor> {
    if mask_n.iter().all(|&m| m) {
        return Ok(x_n.clone());
    }
    let mask_n: Vec<u8> = mask_n.iter().map(|&m| m.into()).collect();
    Ok(Tensor::new(mask_n, x_n.device())?.where_cond(x_n, &x_n.zeros_like()?)?)
}

/// Responses of one micro-batch. All tensors are `[N]`, of one dtype, f32 or f64.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Log-probabilities under the current weights, with gradient.
    pub logp_n: Tensor,
    /// Under the weights that sampled the tokens; `None` when those are the current ones, so that
    /// the ratio is exactly 1 and its gradient that of `logp_n`.
    pub old_n: Option<Tensor>,
    /// Credit of each token.
    pub advantage_n: Tensor,
    /// Boundaries, counted tokens, correctness.
    pub sequences: Sequences,
    /// What [`crate::Objective::needs`] asked for.
    pub signals: BTreeMap<Signal, Tensor>,
}

impl Batch {
    /// The tensor of `signal`.
    ///
    /// # Errors
    /// [`Error::Missing`], naming the term that wanted it.
    pub fn signal(&self, term: &'static str, signal: Signal) -> Result<&Tensor> {
        match self.signals.get(&signal) {
            Some(x_n) => Ok(x_n),
            None => Err(Error::Missing { term, signal }),
        }
    }

    /// Checks that every tensor has one number per token of [`Batch::sequences`].
    ///
    /// # Errors
    /// [`Error::Length`], naming the tensor.
    pub fn check(&self) -> Result<()> {
        let n = self.sequences.tokens();
        length("logp_n", n, self.logp_n.elem_count())?;
        length("advantage_n", n, self.advantage_n.elem_count())?;
        if let Some(old_n) = &self.old_n {
            length("old_n", n, old_n.elem_count())?;
        }
        for (signal, x_n) in &self.signals {
            length(&format!("signal {signal}"), n, x_n.elem_count())?;
        }
        Ok(())
    }

    pub(crate) fn device(&self) -> &Device {
        self.logp_n.device()
    }

    pub(crate) fn dtype(&self) -> DType {
        self.logp_n.dtype()
    }
}

pub(crate) fn length(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Length { what: what.to_string(), expected, found })
}
