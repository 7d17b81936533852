//! Attention over a segment tree in candle operations, piece by piece: what is held at a time is bounded, and nothing
//! `[T, T]` exists.
//!
//! Decides which queries meet which keys at once: segments of one parent that stand together, or equally long ones without
//! any, as far as their scores fit, or a part of a segment that is too long. The backward pass makes each piece's scores
//! again. T tokens, H query heads, K key heads, D width of a head; a row is `[(H + 2K) * D]`.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, DType, Device, Result, Tensor};

use super::anywhere::{Again, pulled};
use super::query_blocks::Dims;
use super::segments::Segments;

/// Scores of all heads in memory at a time: 256 MiB in f32.
pub(crate) const SCORES: usize = 64 << 20;

/// Queries and the keys that any of them sees.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// The queries' segments.
    segments: Range<usize>,
    queries: Range<usize>,
    /// Tokens of the ancestors, which all queries see.
    context: Vec<Range<usize>>,
    /// Keys of the segments themselves.
    own: Range<usize>,
    /// Equal parts of the rows that see nothing of each other.
    parts: usize,
}

/// The pieces of a packed row and their masks, shared by all layers.
#[derive(Debug)]
pub(crate) struct Pieces {
    dims: Dims,
    pieces: Vec<Piece>,
    segments: Arc<Segments>,
    causal: bool,
    /// `[queries, keys]` of every piece, 0 or -1e9; `None` where every query sees every key.
    masks: Mutex<Vec<Option<Tensor>>>,
}

impl Pieces {
    /// With at most so many scores of all heads at a time, as far as one query's are not more.
    pub(crate) fn new(dims: Dims, segments: &Arc<Segments>, causal: bool, scores: usize) -> Self {
        let pieces = cut(segments, causal, scores / dims.heads);
        Self { dims, pieces, segments: segments.clone(), causal, masks: Mutex::default() }
    }

    /// Made for the first device that asks, and kept.
    fn masks(&self, device: &Device) -> Result<Vec<Option<Tensor>>> {
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        let here = masks.iter().flatten().all(|mask| mask.device().same_device(device));
        if masks.len() != self.pieces.len() || !here {
            *masks = self.pieces.iter().map(|piece| self.mask(piece, device)).collect::<Result<_>>()?;
        }
        Ok(masks.clone())
    }

    fn mask(&self, piece: &Piece, device: &Device) -> Result<Option<Tensor>> {
        let (queries, own) = (piece.queries.len() / piece.parts, piece.own.len() / piece.parts);
        let context: usize = piece.context.iter().map(Range::len).sum();
        let mut mask = Vec::with_capacity(queries * (context + own));
        for segment in piece.segments.clone().map(|index| self.segments.segment(index)) {
            let tokens = segment.tokens();
            for query in tokens.start.max(piece.queries.start)..tokens.end.min(piece.queries.end) {
                let sees = tokens.start..if self.causal { query + 1 } else { tokens.end };
                mask.extend(std::iter::repeat_n(0.0f32, context));
                let keys = piece.own.clone().take(own);
                mask.extend(keys.map(|key| if sees.contains(&key) { 0.0 } else { -1e9 }));
            }
            if piece.parts > 1 {
                break; // The other parts look the same.
            }
        }
        let hides = mask.iter().any(|&value| value < 0.0);
        hides.then(|| Tensor::from_vec(mask, (queries, context + own), device)).transpose()
    }

    /// The rows that a piece reads: those of its context, then its own.
    fn rows(piece: &Piece, qkv: &Tensor) -> Result<Tensor> {
        let ranges = piece.context.iter().chain(std::iter::once(&piece.own));
        let rows = ranges.map(|range| qkv.narrow(0, range.start, range.len())).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&rows, 0)
    }

    /// Output `[queries, H * D]` of a piece, from its rows.
    fn attend(&self, piece: &Piece, mask: Option<&Tensor>, rows: &Tensor) -> Result<Tensor> {
        let Dims { heads, kv_heads, head_dim } = self.dims;
        let (parts, per_kv) = (piece.parts, self.dims.heads_per_kv());
        let (keys, queries) = (rows.dim(0)? / parts, piece.queries.len() / parts);
        let first = rows.dim(0)? - piece.own.len() + piece.queries.start - piece.own.start;
        // [parts * K, heads of a key head * queries, D], and [parts * K, keys, D] twice.
        let q = rows.narrow(0, first, piece.queries.len())?.narrow(1, 0, heads * head_dim)?;
        let q = q.reshape((parts, queries, kv_heads, per_kv, head_dim))?.permute((0, 2, 3, 1, 4))?;
        let q = q.contiguous()?.reshape((parts * kv_heads, per_kv * queries, head_dim))?;
        let of_keys = |at: usize| -> Result<Tensor> {
            let x = rows.narrow(1, (heads + at * kv_heads) * head_dim, kv_heads * head_dim)?;
            let x = x.reshape((parts, keys, kv_heads, head_dim))?.transpose(1, 2)?.contiguous()?;
            x.reshape((parts * kv_heads, keys, head_dim))
        };
        let scores = (q.matmul(&of_keys(0)?.t()?)? * f64::from(self.dims.scale()))?.to_dtype(DType::F32)?;
        let scores = match mask {
            Some(mask) => scores
                .reshape((parts * kv_heads, per_kv, queries, keys))?
                .broadcast_add(mask)?
                .reshape((parts * kv_heads, per_kv * queries, keys))?,
            None => scores,
        };
        let out = softmax(&scores)?.to_dtype(rows.dtype())?.matmul(&of_keys(1)?)?;
        let out = out.reshape((parts, kv_heads, per_kv, queries, head_dim))?.permute((0, 3, 1, 2, 4))?;
        out.contiguous()?.reshape((parts * queries, heads * head_dim))
    }
}

fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Attention of a whole row `[T, (H + 2K) * D]`, to `[T, H * D]`.
pub(crate) struct ByPieces(pub Arc<Pieces>);

impl Again for ByPieces {
    fn run(&self, qkv: &Tensor) -> Result<Tensor> {
        let pieces = &self.0;
        let parts = pieces.pieces.iter().zip(pieces.masks(qkv.device())?);
        let parts = parts
            .map(|(piece, mask)| pieces.attend(piece, mask.as_ref(), &Pieces::rows(piece, qkv)?))
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&parts, 0)
    }

    fn pull(&self, qkv: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let (pieces, width) = (&self.0, qkv.dim(1)?);
        // The gradient of the rows of each run of segments: they are one piece's own, and context of others.
        let mut runs: Vec<(Range<usize>, Option<Tensor>)> = Vec::new();
        for Piece { segments, .. } in &pieces.pieces {
            let last = pieces.segments.segment(segments.end - 1).tokens();
            let run = pieces.segments.segment(segments.start).start..last.end;
            if runs.last().is_none_or(|(before, _)| *before != run) {
                runs.push((run, None));
            }
        }
        for (piece, mask) in pieces.pieces.iter().zip(pieces.masks(qkv.device())?) {
            let d_out = d_out.narrow(0, piece.queries.start, piece.queries.len())?;
            let rows = Pieces::rows(piece, qkv)?;
            let (d_rows, _) = pulled(|rows| pieces.attend(piece, mask.as_ref(), rows), &rows, &d_out)?;
            let Some(d_rows) = d_rows else { continue };
            let mut at = 0;
            for range in piece.context.iter().chain(std::iter::once(&piece.own)) {
                for (run, sum) in &mut runs {
                    let (start, end) = (run.start.max(range.start), run.end.min(range.end));
                    if start >= end {
                        continue;
                    }
                    let part = d_rows.narrow(0, at + start - range.start, end - start)?;
                    let part = part.pad_with_zeros(0, start - run.start, run.end - end)?;
                    *sum = Some(match sum.take() {
                        Some(sum) => (sum + part)?,
                        None => part,
                    });
                }
                at += range.len();
            }
        }
        let none = |len: usize| Tensor::zeros((len, width), qkv.dtype(), qkv.device());
        let sums = runs.into_iter().map(|(run, sum)| sum.map_or_else(|| none(run.len()), Ok));
        Tensor::cat(&sums.collect::<Result<Vec<_>>>()?, 0).map(Some)
    }
}

/// The pieces, in order of their queries, each of at most `scores` scores a head where it has several queries.
fn cut(segments: &Segments, causal: bool, scores: usize) -> Vec<Piece> {
    let all: Vec<_> = segments.iter().copied().collect();
    let (mut pieces, mut first) = (Vec::new(), 0);
    while first < all.len() {
        let (context, start) = (segments.context(first), all[first].start);
        let seen: usize = context.iter().map(Range::len).sum();
        let kin = |next: usize| match all[first].parent {
            None => all[next].parent.is_none() && all[next].len == all[first].len,
            parent => all[next].parent == parent,
        };
        let fits = |next: usize| {
            let (rows, count) = (all[next].tokens().end - start, next + 1 - first);
            match all[first].parent {
                None => count * all[first].len * all[first].len <= scores,
                Some(_) => rows * (seen + rows) <= scores,
            }
        };
        let mut end = first + 1;
        while end < all.len() && kin(end) && fits(end) {
            end += 1;
        }
        let own = start..all[end - 1].tokens().end;
        let parts = if all[first].parent.is_none() { end - first } else { 1 };
        if end - first > 1 || own.len() * (seen + own.len()) <= scores {
            pieces.push(Piece { segments: first..end, queries: own.clone(), context, own, parts });
        } else {
            let rows = (scores / (seen + own.len())).max(1);
            for at in own.clone().step_by(rows) {
                let queries = at..own.end.min(at + rows);
                let own = own.start..if causal { queries.end } else { own.end };
                pieces.push(Piece { segments: first..end, queries, context: context.clone(), own, parts: 1 });
            }
        }
        first = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::anywhere::again;
    use super::super::attention::Attention;
    use super::*;
    use candle_core::Var;

    fn numbers(rows: usize, width: usize) -> Tensor {
        let values = (0..rows * width).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0) * 1.5).collect();
        Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()
    }

    fn apart(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    /// However it is cut, output and gradient are those of the kernels.
    #[test]
    fn any_cut_gives_the_kernels_numbers() {
        let dims = Dims { heads: 4, kv_heads: 2, head_dim: 8 };
        let trees: [&[(usize, Option<usize>)]; 3] = [
            // A group, three equal loners, questions of one image with answers, one of them behind another.
            &[(5, None), (3, Some(0)), (1, Some(0)), (4, Some(0)), (3, None), (3, None), (3, None)],
            &[(6, None), (2, Some(0)), (3, Some(1)), (2, Some(1)), (4, Some(0)), (1, Some(4)), (2, Some(5))],
            &[(17, None)],
        ];
        for lens_and_parents in trees {
            let segments = Arc::new(Segments::new(lens_and_parents).unwrap());
            let qkv = Var::from_tensor(&numbers(segments.tokens(), 8 * 8)).unwrap();
            let d_out = numbers(segments.tokens(), 4 * 8).affine(0.5, 0.1).unwrap();
            let host = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for causal in [true, false] {
                let kernels = Attention::new(dims, &segments, causal).unwrap();
                let (out, lse) = kernels.forward(&host(&qkv));
                let d_qkv = kernels.backward(&host(&qkv), &out, &lse, &host(&d_out));
                let tensor =
                    |x: &[f32], like: &Tensor| Tensor::from_slice(x, like.shape(), &Device::Cpu).unwrap();
                let (out, d_qkv) = (tensor(&out, &d_out), tensor(&d_qkv, &qkv));
                for scores in [1, 40, 200, 700, 1 << 20] {
                    let pieces = Arc::new(Pieces::new(dims, &segments, causal, scores));
                    let queries: Vec<usize> =
                        pieces.pieces.iter().flat_map(|piece| piece.queries.clone()).collect();
                    assert_eq!(queries, (0..segments.tokens()).collect::<Vec<_>>());
                    let ours = again(&qkv, ByPieces(pieces)).unwrap();
                    assert!(apart(&ours, &out) < 2e-6, "{causal} {scores}");
                    let store = (ours * &d_out).unwrap().sum_all().unwrap().backward().unwrap();
                    assert!(apart(store.get(&qkv).unwrap(), &d_qkv) < 5e-6, "{causal} {scores}");
                }
            }
        }
    }

    #[test]
    fn pieces_are_as_large_as_fits() {
        let windows = Arc::new(Segments::new(&[(4, None); 6]).unwrap());
        let cut = |scores| cut(&windows, false, scores).iter().map(|piece| piece.parts).collect::<Vec<_>>();
        assert_eq!((cut(1 << 20), cut(64), cut(16)), (vec![6], vec![4, 2], vec![1; 6]));
        let long = Segments::new(&[(10, None)]).unwrap();
        let rows: Vec<_> =
            super::cut(&long, true, 40).into_iter().map(|piece| (piece.queries, piece.own)).collect();
        assert_eq!(rows, [(0..4, 0..4), (4..8, 0..8), (8..10, 0..10)]);
    }
}
