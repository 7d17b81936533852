//! How attention over a segment tree is cut: blocks of query rows against the keys they see.
//!
//! The query heads that share a key head are stacked into one matrix, so a block's scores are
//! `[heads_per_kv * queries, keys]`.

use std::ops::Range;

use super::matmul::{Mat, Write, matmul};
use super::segments::Segments;

/// Rows of a block's score matrix.
const SCORE_ROWS: usize = 128;

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

impl Dims {
    pub(crate) fn heads_per_kv(&self) -> usize {
        self.heads / self.kv_heads
    }

    pub(crate) fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// The heads of every token: each token's begin at `offset` in its row of `stride` elements.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    pub data: &'a [f32],
    pub stride: usize,
    pub offset: usize,
}

impl<'a> Heads<'a> {
    /// `tokens` of one head as a matrix `[tokens, head_dim]`.
    pub(crate) fn head(&self, head: usize, tokens: &Range<usize>, dims: Dims) -> Mat<'a> {
        let first = tokens.start * self.stride + self.offset + head * dims.head_dim;
        Mat::strided(&self.data[first..], tokens.len(), dims.head_dim, self.stride)
    }

    pub(crate) fn row(&self, token: usize, head: usize, head_dim: usize) -> &'a [f32] {
        let first = token * self.stride + self.offset + head * head_dim;
        &self.data[first..first + head_dim]
    }

    /// The query heads of key head `kv` stacked: rows `[head_of_kv][token]`.
    pub(crate) fn stack(&self, kv: usize, tokens: &Range<usize>, dims: Dims, stacked: &mut Vec<f32>) {
        stacked.clear();
        let per_kv = dims.heads_per_kv();
        for head in kv * per_kv..(kv + 1) * per_kv {
            for token in tokens.clone() {
                stacked.extend_from_slice(self.row(token, head, dims.head_dim));
            }
        }
    }
}

/// Queries of one segment and the key ranges that the last of them sees.
pub(crate) struct QueryBlock {
    pub queries: Range<usize>,
    keys: Vec<Range<usize>>,
    pub key_count: usize,
    causal: bool,
}

impl QueryBlock {
    pub(crate) fn of_tree(segments: &Segments, tree: Range<usize>, causal: bool, dims: Dims) -> Vec<Self> {
        let block_len = (SCORE_ROWS / dims.heads_per_kv()).max(16);
        let mut blocks = Vec::new();
        for index in tree {
            let own = segments.segment(index).tokens();
            let context = segments.context(index);
            for start in own.clone().step_by(block_len) {
                let end = (start + block_len).min(own.end);
                let mut keys = context.clone();
                let own_end = if causal { end } else { own.end };
                match keys.last_mut() {
                    Some(last) if last.end == own.start => last.end = own_end,
                    _ => keys.push(own.start..own_end),
                }
                let key_count = keys.iter().map(Range::len).sum();
                blocks.push(Self { queries: start..end, keys, key_count, causal });
            }
        }
        blocks
    }

    pub(crate) fn all(segments: &Segments, causal: bool, dims: Dims) -> Vec<Self> {
        let trees = segments.trees().into_iter();
        trees.flat_map(|tree| Self::of_tree(segments, tree, causal, dims)).collect()
    }

    /// `new` tokens whose keys stand behind those of `before` earlier ones, all of which they see. The
    /// queries count from the first new token, the keys from the first earlier one.
    pub(crate) fn behind(before: usize, new: usize, dims: Dims) -> Vec<Self> {
        let block_len = (SCORE_ROWS / dims.heads_per_kv()).max(16);
        let block = |start: usize| {
            let end = (start + block_len).min(new);
            let keys = std::iter::once(0..before + end).collect();
            Self { queries: start..end, keys, key_count: before + end, causal: true }
        };
        (0..new).step_by(block_len).map(block).collect()
    }

    /// How many keys, counted from the first, the block's `query`-th token sees.
    pub(crate) fn visible(&self, query: usize) -> usize {
        self.key_count - if self.causal { self.queries.len() - 1 - query } else { 0 }
    }

    /// Key ranges with the column of the score matrix where each begins.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (usize, &Range<usize>)> {
        self.keys.iter().scan(0, |next, keys| {
            let column = *next;
            *next += keys.len();
            Some((column, keys))
        })
    }

    /// `scores = scale * stacked @ heads^T` over all keys of the block.
    pub(crate) fn scores(
        &self,
        stacked: &[f32],
        heads: Heads,
        kv: usize,
        scale: f32,
        dims: Dims,
        scores: &mut Vec<f32>,
    ) {
        let stacked = Mat::new(stacked, dims.head_dim);
        scores.resize(dims.heads_per_kv() * self.queries.len() * self.key_count, 0.0);
        for (column, keys) in self.columns() {
            let heads = heads.head(kv, keys, dims).t();
            matmul(&mut scores[column..], self.key_count, Write::Replace, scale, stacked, heads);
        }
    }

    /// `product = scale * weights @ heads` summed over all keys of the block.
    pub(crate) fn gather(
        &self,
        weights: &[f32],
        heads: Heads,
        kv: usize,
        scale: f32,
        dims: Dims,
        product: &mut Vec<f32>,
    ) {
        let rows = dims.heads_per_kv() * self.queries.len();
        product.resize(rows * dims.head_dim, 0.0);
        for (column, keys) in self.columns() {
            let weights = Mat::strided(&weights[column..], rows, keys.len(), self.key_count);
            let write = if column == 0 { Write::Replace } else { Write::Add };
            matmul(product, dims.head_dim, write, scale, weights, heads.head(kv, keys, dims));
        }
    }

    /// `product[keys] += scale * weights^T @ stacked`; `product` begins at token `origin`.
    pub(crate) fn scatter(
        &self,
        weights: &[f32],
        stacked: &[f32],
        scale: f32,
        dims: Dims,
        origin: usize,
        product: &mut [f32],
    ) {
        let rows = dims.heads_per_kv() * self.queries.len();
        let stacked = Mat::new(stacked, dims.head_dim);
        for (column, keys) in self.columns() {
            let weights = Mat::strided(&weights[column..], rows, keys.len(), self.key_count).t();
            let product = &mut product[(keys.start - origin) * dims.head_dim..];
            matmul(product, dims.head_dim, Write::Add, scale, weights, stacked);
        }
    }
}
