//! Attention over a segment tree on slices, block by block: scores live in scratch memory and nothing
//! `[T, T]` ever exists. The backward pass recomputes them from the log-sum-exp.

use std::ops::Range;

use rayon::prelude::*;

use super::buffers::Buffer;
use super::query_blocks::{Dims, Heads, QueryBlock};
use super::segments::Segments;
use super::simd::{dot, exp, exp_shifted, max, vectorised};

#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    norms: Vec<f32>,
    outputs: Vec<f32>,
    d_outputs: Vec<f32>,
    d_scores: Vec<f32>,
}

/// Outputs `[T, H, D]` and log-sum-exp of the scores `[T, H]`.
pub(crate) fn forward(parts: [Heads; 3], segments: &Segments, causal: bool, dims: Dims) -> (Buffer, Buffer) {
    forward_blocks(parts, QueryBlock::all(segments, causal, dims), segments.tokens(), dims)
}

/// Outputs `[T, H, D]` of T new tokens behind `before` earlier ones: queries of the new ones alone, keys and
/// values of all.
pub(crate) fn forward_behind(parts: [Heads; 3], before: usize, new: usize, dims: Dims) -> Buffer {
    forward_blocks(parts, QueryBlock::behind(before, new, dims), new, dims).0
}

/// The blocks' queries are all of `0..tokens`, in order.
fn forward_blocks(parts: [Heads; 3], blocks: Vec<QueryBlock>, tokens: usize, dims: Dims) -> (Buffer, Buffer) {
    let width = dims.q_width();
    let mut out_thd = Buffer::new(tokens * width);
    let mut lse_th = Buffer::new(tokens * dims.heads);
    let mut tasks = Vec::new();
    let (mut out_rest, mut lse_rest) = (&mut out_thd[..], &mut lse_th[..]);
    for block in blocks {
        let (out, lse);
        (out, out_rest) = out_rest.split_at_mut(block.queries.len() * width);
        (lse, lse_rest) = lse_rest.split_at_mut(block.queries.len() * dims.heads);
        tasks.push((block, out, lse));
    }
    tasks.into_par_iter().for_each_init(Scratch::default, |scratch, (block, out, lse)| {
        for kv in 0..dims.kv_heads {
            forward_block(&block, parts, kv, dims, scratch, (out, lse));
        }
    });
    (out_thd, lse_th)
}

fn forward_block(
    block: &QueryBlock,
    [q, k, v]: [Heads; 3],
    kv: usize,
    dims: Dims,
    scratch: &mut Scratch,
    (out, lse): (&mut [f32], &mut [f32]),
) {
    let Scratch { queries, scores, norms, outputs, .. } = scratch;
    norms.clear();
    q.stack(kv, &block.queries, dims, queries);
    block.scores(queries, k, kv, dims.scale(), dims, scores);
    let (count, first_head) = (block.queries.len(), kv * dims.heads_per_kv());
    vectorised(|| {
        for (row, scores) in scores.chunks_exact_mut(block.key_count).enumerate() {
            let (head, query) = (first_head + row / count, row % count);
            let (seen, unseen) = scores.split_at_mut(block.visible(query));
            let peak = max(seen);
            let sum = exp_shifted(seen, peak);
            lse[query * dims.heads + head] = peak + sum.ln();
            norms.push(1.0 / sum);
            unseen.fill(0.0);
        }
    });
    block.gather(scores, v, kv, 1.0, dims, outputs);
    for (row, (output, norm)) in outputs.chunks_exact(dims.head_dim).zip(norms).enumerate() {
        let (head, query) = (first_head + row / count, row % count);
        let out = &mut out[(query * dims.heads + head) * dims.head_dim..][..dims.head_dim];
        out.iter_mut().zip(output).for_each(|(out, value)| *out = value * *norm);
    }
}

/// What the backward pass is handed besides the keys and values.
#[derive(Clone, Copy)]
pub(crate) struct Saved<'a> {
    pub out: Heads<'a>,
    pub d_out: Heads<'a>,
    pub lse_th: &'a [f32],
}

/// Gradients of one key head in one tree.
pub(crate) struct HeadGrads {
    pub tokens: Range<usize>,
    pub kv: usize,
    /// `[tokens, heads_per_kv, head_dim]`
    pub d_q: Buffer,
    /// `[tokens, head_dim]`
    pub d_k: Buffer,
    pub d_v: Buffer,
}

/// Gradients in a fixed order, one part for every tree and key head, computed in parallel.
pub(crate) fn backward(
    heads: [Heads; 3],
    saved: Saved,
    segments: &Segments,
    causal: bool,
    dims: Dims,
) -> Vec<HeadGrads> {
    let parts: Vec<_> = segments
        .trees()
        .into_iter()
        .flat_map(|tree| (0..dims.kv_heads).map(move |kv| (tree.clone(), kv)))
        .collect();
    parts
        .into_par_iter()
        .map_init(Scratch::default, |scratch, (tree, kv)| {
            let start = segments.segment(tree.start).start;
            let end = segments.segment(tree.end - 1).tokens().end;
            let mut grads = HeadGrads {
                tokens: start..end,
                kv,
                d_q: Buffer::new((end - start) * dims.heads_per_kv() * dims.head_dim),
                d_k: Buffer::zeros((end - start) * dims.head_dim),
                d_v: Buffer::zeros((end - start) * dims.head_dim),
            };
            for block in QueryBlock::of_tree(segments, tree, causal, dims) {
                backward_block(&block, heads, saved, dims, scratch, &mut grads);
            }
            grads
        })
        .collect()
}

fn backward_block(
    block: &QueryBlock,
    [q, k, v]: [Heads; 3],
    saved: Saved,
    dims: Dims,
    scratch: &mut Scratch,
    grads: &mut HeadGrads,
) {
    let Scratch { queries, scores, outputs, d_outputs, d_scores, .. } = scratch;
    let (kv, origin, count) = (grads.kv, grads.tokens.start, block.queries.len());
    let per_kv = dims.heads_per_kv();
    q.stack(kv, &block.queries, dims, queries);
    saved.d_out.stack(kv, &block.queries, dims, d_outputs);
    block.scores(queries, k, kv, dims.scale(), dims, scores);
    block.scores(d_outputs, v, kv, 1.0, dims, d_scores);
    vectorised(|| {
        let rows = scores.chunks_exact_mut(block.key_count).zip(d_scores.chunks_exact_mut(block.key_count));
        for (row, (scores, d_scores)) in rows.enumerate() {
            let (head, query) = (kv * per_kv + row / count, row % count);
            let token = block.queries.start + query;
            let lse = saved.lse_th[token * dims.heads + head];
            let (out, d_out) =
                (saved.out.row(token, head, dims.head_dim), saved.d_out.row(token, head, dims.head_dim));
            let delta = dot(out, d_out);
            let visible = block.visible(query);
            for (score, d_score) in scores[..visible].iter_mut().zip(&mut d_scores[..visible]) {
                *score = exp(*score - lse);
                *d_score = *score * (*d_score - delta);
            }
            scores[visible..].fill(0.0);
            d_scores[visible..].fill(0.0);
        }
    });
    block.scatter(scores, d_outputs, 1.0, dims, origin, &mut grads.d_v);
    block.scatter(d_scores, queries, dims.scale(), dims, origin, &mut grads.d_k);
    block.gather(d_scores, k, kv, dims.scale(), dims, outputs);
    for (row, d_q) in outputs.chunks_exact(dims.head_dim).enumerate() {
        let token = block.queries.start - origin + row % count;
        let first = (token * per_kv + row / count) * dims.head_dim;
        grads.d_q[first..first + dims.head_dim].copy_from_slice(d_q);
    }
}
