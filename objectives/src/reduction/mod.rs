//! How per-token losses become one number: the weight that each counted token gets.
//!
//! A reduction is linear and knows only lengths and the totals of the whole mini-batch, so the loss of
//! a mini-batch is the sum of the losses of its micro-batches however it is split.

use crate::{Batch, Count, Entry, Result, Scope, Totals, batch::keep};
use candle_core::Tensor;
use serde::Deserialize;
use std::fmt::Debug;

/// Every reduction a recipe can name.
pub const REDUCTIONS: &[Entry<dyn Reduction>] = &[
    Entry {
        name: "token-mean",
        paper: "DAPO, arXiv:2503.14476; TRL's dapo; the default of verl, EasyR1 and PAPO",
        build: |v| Ok(Box::new(serde_json::from_value::<TokenMean>(v)?)),
    },
    Entry {
        name: "seq-mean-token-mean",
        paper: "GRPO, arXiv:2402.03300; TRL's grpo",
        build: |v| Ok(Box::new(serde_json::from_value::<SeqMeanTokenMean>(v)?)),
    },
    Entry {
        name: "seq-mean-token-sum",
        paper: "LUSPO with the sequence ratio, arXiv:2602.05261; verl",
        build: |v| Ok(Box::new(serde_json::from_value::<SeqMeanTokenSum>(v)?)),
    },
    Entry {
        name: "fixed",
        paper: "Dr.GRPO, arXiv:2503.20783; TRL's dr_grpo, verl's seq-mean-token-sum-norm",
        build: |v| Ok(Box::new(serde_json::from_value::<Fixed>(v)?)),
    },
];

/// The weight of a token.
pub trait Reduction: Debug + Send + Sync {
    /// The name in [`REDUCTIONS`].
    fn name(&self) -> &'static str;

    /// The weight of the `index`-th counted token of a sequence that has `tokens` of them, in a
    /// mini-batch of `total`.
    fn weight(&self, index: usize, tokens: usize, total: &Count) -> f64;
}

/// `Σ weight · loss` over the tokens of `batch` in `scope`: a scalar with gradient, 0 if none is.
pub(crate) fn reduce(
    reduction: &dyn Reduction,
    loss_n: &Tensor,
    batch: &Batch,
    scope: Scope,
    totals: &Totals,
) -> Result<Tensor> {
    let sequences = &batch.sequences;
    let mask_n = scope.mask(sequences);
    let total = totals.count(scope);
    let mut weight_n = vec![0.0f64; sequences.tokens()];
    for range in sequences.ranges() {
        let counted: Vec<usize> = range.clone().filter(|&n| mask_n[n]).collect();
        for (index, &n) in counted.iter().enumerate() {
            weight_n[n] = reduction.weight(index, counted.len(), &total);
        }
    }
    let weight_n = Tensor::new(weight_n, batch.device())?.to_dtype(batch.dtype())?;
    Ok((keep(&mask_n, loss_n)? * weight_n)?.sum_all()?)
}

/// Mean over all tokens of the mini-batch.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TokenMean {}

impl Reduction for TokenMean {
    fn name(&self) -> &'static str {
        "token-mean"
    }

    fn weight(&self, _: usize, _: usize, total: &Count) -> f64 {
        1.0 / total.tokens.max(1.0)
    }
}

/// Mean over the tokens of a sequence, then over sequences.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SeqMeanTokenMean {
    /// Leave sequences without a counted token out of the mean (verl), or count them as 0 (TRL).
    skip_empty: bool,
}

impl Reduction for SeqMeanTokenMean {
    fn name(&self) -> &'static str {
        "seq-mean-token-mean"
    }

    fn weight(&self, _: usize, tokens: usize, total: &Count) -> f64 {
        1.0 / (sequences(total, self.skip_empty) * tokens.max(1) as f64)
    }
}

/// Sum over the tokens of a sequence, then the mean over sequences.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SeqMeanTokenSum {
    /// As in [`SeqMeanTokenMean`].
    skip_empty: bool,
}

impl Reduction for SeqMeanTokenSum {
    fn name(&self) -> &'static str {
        "seq-mean-token-sum"
    }

    fn weight(&self, _: usize, _: usize, total: &Count) -> f64 {
        1.0 / sequences(total, self.skip_empty)
    }
}

/// Sum over tokens divided by a constant length, then the mean over sequences.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixed {
    /// The constant, often the longest completion allowed.
    length: u32,
    /// As in [`SeqMeanTokenMean`].
    #[serde(default)]
    skip_empty: bool,
}

impl Reduction for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn weight(&self, _: usize, _: usize, total: &Count) -> f64 {
        1.0 / (sequences(total, self.skip_empty) * f64::from(self.length.max(1)))
    }
}

fn sequences(total: &Count, skip_empty: bool) -> f64 {
    let sequences = if skip_empty { total.filled } else { total.sequences };
    sequences.max(1.0)
}
