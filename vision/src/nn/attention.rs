//! Attention over a segment tree, on slices: queries, keys and values of a token stand in one row.
//!
//! Shapes: T tokens, H query heads, K key heads, D width of a head; a row is `[(H + 2K) * D]`.

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor, bail};

use super::anywhere::{Again, again};
use super::attention_kernel::{Saved, backward, forward, forward_behind};
use super::attention_pieces::{ByPieces, Pieces, SCORES};
use super::buffers::Buffer;
use super::query_blocks::{Dims, Heads};
use super::segments::Segments;
use super::simd::par_rows;

/// Grouped-query attention of one packed row: a token attends to the tokens of its own segment (with
/// `causal`, up to itself) and to all tokens of its segment's ancestors. Scores are scaled by
/// `1 / sqrt(D)`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub dims: Dims,
    pub segments: Arc<Segments>,
    pub causal: bool,
    /// How the composition is cut, once for all layers.
    pieces: Arc<OnceLock<Arc<Pieces>>>,
}

impl Attention {
    pub(crate) fn new(dims: Dims, segments: &Arc<Segments>, causal: bool) -> Result<Self> {
        if dims.heads == 0 || dims.kv_heads == 0 || !dims.heads.is_multiple_of(dims.kv_heads) {
            bail!("{} query heads do not share {} key heads evenly", dims.heads, dims.kv_heads);
        }
        Ok(Self { dims, segments: segments.clone(), causal, pieces: Arc::default() })
    }

    fn parts<'a>(&self, qkv: &'a [f32]) -> [Heads<'a>; 3] {
        let (q, kv) = (self.dims.q_width(), self.dims.kv_width());
        [0, q, q + kv].map(|offset| Heads { data: qkv, stride: q + 2 * kv, offset })
    }

    /// Output `[T, H, D]` and log-sum-exp `[T, H]`.
    pub(crate) fn forward(&self, qkv: &[f32]) -> (Buffer, Buffer) {
        forward(self.parts(qkv), &self.segments, self.causal, self.dims)
    }

    /// The gradient of `qkv`.
    pub(crate) fn backward(&self, qkv: &[f32], out: &[f32], lse_th: &[f32], d_out: &[f32]) -> Buffer {
        let (d, q_width, kv_width) = (self.dims.head_dim, self.dims.q_width(), self.dims.kv_width());
        let [out, d_out] = [out, d_out].map(|data| Heads { data, stride: q_width, offset: 0 });
        let saved = Saved { out, d_out, lse_th };
        let parts = backward(self.parts(qkv), saved, &self.segments, self.causal, self.dims);
        let mut d_qkv = Buffer::new(qkv.len());
        let (stride, group) = (q_width + 2 * kv_width, q_width / self.dims.kv_heads);
        // Every (tree, key head) wrote its own columns; rows are copied into place in parallel.
        par_rows(&mut d_qkv, stride, |first, rows| {
            let tokens = first..first + rows.len() / stride;
            for part in &parts {
                let (start, end) = (part.tokens.start.max(tokens.start), part.tokens.end.min(tokens.end));
                for token in start..end {
                    let row = &mut rows[(token - first) * stride..][..stride];
                    let (kv, from) = (part.kv, token - part.tokens.start);
                    row[kv * group..][..group].copy_from_slice(&part.d_q[from * group..][..group]);
                    row[q_width + kv * d..][..d].copy_from_slice(&part.d_k[from * d..][..d]);
                    row[q_width + kv_width + kv * d..][..d].copy_from_slice(&part.d_v[from * d..][..d]);
                }
            }
        });
        d_qkv
    }

    /// The same in candle operations: `[T, (H + 2K) * D]` to `[T, H * D]`.
    pub(crate) fn compose(&self, qkv: &Tensor) -> Result<Tensor> {
        let pieces =
            self.pieces.get_or_init(|| Arc::new(Pieces::new(self.dims, &self.segments, self.causal, SCORES)));
        match qkv.track_op() {
            true => again(qkv, ByPieces(pieces.clone())),
            false => ByPieces(pieces.clone()).run(qkv),
        }
    }
}

/// Output `[T, H, D]` of new tokens behind earlier ones whose keys and values were kept: the new tokens'
/// rows, and keys and values of all tokens, `[tokens, K * D]`.
pub(crate) fn attend_behind(qkv: &[f32], keys: &[f32], values: &[f32], dims: Dims) -> Buffer {
    let (q_width, width) = (dims.q_width(), dims.kv_width());
    let stride = q_width + 2 * width;
    let [keys, values] = [keys, values].map(|data| Heads { data, stride: width, offset: 0 });
    let new = qkv.len() / stride;
    let before = keys.data.len() / width - new;
    forward_behind([Heads { data: qkv, stride, offset: 0 }, keys, values], before, new, dims)
}
