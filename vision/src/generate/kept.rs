//! Continuing in candle operations, on any device: keys and values stay there, and a token costs no more than a look at
//! every one before it.
//!
//! For models that are not in f32 on a CPU, which [`super::decode`] is made for. Rollouts of one tree of a pack (a prompt,
//! or prompts that share a beginning) read its keys together. What is heard between two turns runs with all that was said
//! before it, once a turn. A rollout depends on its batch as far as the device's products do, in the last bits.
//!
//! R rows, G trees, N rows of the largest tree, S tokens of the longest, d width, H query heads, K key heads, D width of a
//! head, V vocabulary.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};

use super::places::{Places, Row};
use crate::Result;
use crate::images::Patches;
use crate::models::VisionLanguageModel;
use crate::nn::{Dims, KvTap, Layer};
use crate::pack::{Continuation, Pack, PackBuilder};
use crate::processor::Prompt;

/// Own tokens that there is room for from the start.
const USUAL: usize = 32;

/// A rollout and what it said so far.
pub(super) struct Said<'a> {
    /// The caller's number.
    pub rollout: usize,
    pub prompt: &'a Prompt,
    pub ids: &'a [u32],
    /// The images among them.
    pub images: &'a [Arc<Patches>],
}

/// Keys and values, `[.., tokens, D]` each.
type KeysValues = [Tensor; 2];

/// What the rollouts of a batch leave behind.
#[derive(Debug)]
pub(super) struct Kept {
    dims: Dims,
    /// Of every layer, what ran before the first step, `[G * K, S, D]`.
    before: Vec<KeysValues>,
    /// Of every layer, what was said since, `[R * K, room, D]`; the first `steps` of it are there.
    own: Vec<KeysValues>,
    steps: usize,
    /// The rollouts that run. Some may have ended.
    rows: Vec<Row>,
    places: Places,
}

impl Kept {
    /// Runs prompts (rollouts of one stand together) and what was said; the logits `[R, V]` of the next tokens.
    pub(super) fn begin(model: &VisionLanguageModel, said: &[Said]) -> Result<(Self, Vec<f32>)> {
        let (pack, tap, dims) = (pack(said)?, KvTap::default(), model.decoder().dims);
        let hidden_td = model.hidden(&pack, &model.mode(None).tapped(&tap), None)?;
        let predictors = Tensor::from_slice(&pack.predictors_n, said.len(), hidden_td.device())?;
        let logits = logits(model, &hidden_td.index_select(&predictors, 0)?)?;
        let (rows, trees) = Row::of(&pack, &model.positions(&pack)?, said.iter().map(|said| said.rollout));
        let longest = trees.iter().map(|tree| tree.len()).max().unwrap_or(0);
        let by_tree = |x: Tensor| -> Result<Tensor> {
            let tree = |tokens: &std::ops::Range<usize>| {
                let x = x.narrow(0, tokens.start, tokens.len())?;
                let x = x.reshape((tokens.len(), dims.kv_heads, dims.head_dim))?.transpose(0, 1)?;
                x.contiguous()?.pad_with_zeros(1, 0, longest - tokens.len())
            };
            Ok(Tensor::cat(&trees.iter().map(tree).collect::<candle_core::Result<Vec<_>>>()?, 0)?)
        };
        let before =
            tap.take_tensors().into_iter().map(|(keys, values)| Ok([by_tree(keys)?, by_tree(values)?]));
        let before = before.collect::<Result<Vec<_>>>()?;
        let places = Places::new(&rows, hidden_td.device())?;
        Ok((Self { dims, before, own: vec![], steps: 0, rows, places }, logits))
    }

    /// Runs a token of every rollout of `next`, in order; the logits `[R, V]` of their next ones. Rollouts that are not
    /// among them have ended.
    pub(super) fn step(&mut self, model: &VisionLanguageModel, next: &[(usize, u32)]) -> Result<Vec<f32>> {
        self.leave(next)?;
        let (decoder, table) = (model.decoder(), model.decoder().embedding.var().as_detached_tensor());
        let device = table.device();
        let mut tokens = next.iter().peekable();
        let (mut ids, mut active) = (Vec::new(), Vec::new());
        for (at, row) in self.rows.iter().enumerate() {
            let token = tokens.next_if(|(rollout, _)| *rollout == row.rollout);
            active.extend(token.map(|_| at as u32));
            ids.push(token.map_or(0, |(_, id)| *id));
        }
        let positions: Vec<_> = self.rows.iter().map(|row| [row.position + self.steps as u32; 3]).collect();
        let rotary = model.rotary(&positions);
        let mut x = table.index_select(&Tensor::from_vec(ids, self.rows.len(), device)?, 0)?;
        for (index, layer) in decoder.layers.iter().enumerate() {
            let [q, k, v] = layer.attention.compose_qkv(&x, &self.dims, &rotary)?;
            self.push(index, [k, v])?;
            let out = self.attend(index, &q.detach())?;
            // Nobody will differentiate: what candle keeps for it goes layer by layer.
            x = (x + layer.attention.out.compose(&out)?)?.detach();
            x = layer.mlp.compose(&x)?.detach();
        }
        self.steps += 1;
        let active = Tensor::from_vec(active, next.len(), device)?;
        logits(model, &x.index_select(&active, 0)?)
    }

    /// Takes out the rollouts that have ended, when they are many: until then they run along.
    fn leave(&mut self, next: &[(usize, u32)]) -> Result<()> {
        let mut active = next.iter().peekable();
        let on = |row: &Row| active.next_if(|(rollout, _)| *rollout == row.rollout).is_some();
        let stay: Vec<bool> = self.rows.iter().map(on).collect();
        let gone = stay.iter().filter(|stays| !**stays).count();
        if gone * 4 < self.rows.len() {
            return Ok(());
        }
        let device = self.places.device().clone();
        let pick = |x: &Tensor, of: usize, which: &[u32]| -> Result<Tensor> {
            let (_, tokens, width) = x.dims3()?;
            let which = Tensor::from_slice(which, which.len(), &device)?;
            let x = x.reshape((of, self.dims.kv_heads * tokens * width))?.index_select(&which, 0)?;
            Ok(x.reshape(((), tokens, width))?)
        };
        let all = |kept: &[KeysValues], of: usize, which: &[u32]| -> Result<Vec<KeysValues>> {
            kept.iter().map(|[keys, values]| Ok([pick(keys, of, which)?, pick(values, of, which)?])).collect()
        };
        let rows: Vec<u32> = (0..).zip(&stay).filter_map(|(at, stays)| stays.then_some(at)).collect();
        let own = all(&self.own, self.rows.len(), &rows)?;
        let mut stay = stay.into_iter();
        self.rows.retain(|_| stay.next().unwrap_or(false));
        let trees = self.places.trees();
        let live = Row::renumber(&mut self.rows);
        if live.len() < trees {
            self.before = all(&self.before, trees, &live)?;
        }
        self.own = own;
        self.places = Places::new(&self.rows, &device)?;
        Ok(())
    }

    /// Keeps the keys and values `[R, K * D]` of one layer.
    fn push(&mut self, layer: usize, keys_values: KeysValues) -> Result<()> {
        let heads = self.rows.len() * self.dims.kv_heads;
        let shape = |room: usize| (heads, room, self.dims.head_dim);
        let [keys, values] = keys_values.map(|x| x.detach().contiguous()?.reshape(shape(1)));
        let new = [keys?, values?];
        if self.own.len() <= layer {
            let empty = || Tensor::zeros(shape(USUAL), new[0].dtype(), new[0].device());
            self.own.push([empty()?, empty()?]);
        }
        for (kept, new) in self.own[layer].iter_mut().zip(&new) {
            let room = kept.dim(1)?;
            if self.steps == room {
                let wider = Tensor::zeros(shape(2 * room), kept.dtype(), kept.device())?;
                wider.slice_set(kept, 1, 0)?;
                *kept = wider;
            }
            kept.slice_set(new, 1, self.steps)?;
        }
        Ok(())
    }

    /// Attention `[R, H * D]` of the queries over what was there before the first step and over their own tokens.
    fn attend(&self, layer: usize, q: &Tensor) -> Result<Tensor> {
        let (Dims { kv_heads, head_dim, .. }, per_kv) = (self.dims, self.dims.heads_per_kv());
        let (rows, trees, most) = (self.rows.len(), self.places.trees(), self.places.most());
        let of_trees = q.index_select(self.places.rows(), 0)?;
        let of_trees = of_trees.reshape((trees, most, kv_heads, per_kv, head_dim))?.transpose(1, 2)?;
        let of_trees = of_trees.contiguous()?.reshape((trees * kv_heads, most * per_kv, head_dim))?;
        let by_rows = |x: Tensor| -> Result<Tensor> {
            let width = x.dim(2)?;
            let x = x.reshape((trees, kv_heads, most, per_kv, width))?.transpose(1, 2)?.contiguous()?;
            let x = x.reshape((trees * most, kv_heads * per_kv, width))?;
            Ok(x.index_select(self.places.of_rows(), 0)?)
        };
        let scored = |scores: Tensor| -> Result<Tensor> {
            let Some(mask) = self.places.mask() else { return Ok(scores) };
            let shape = scores.dims3()?;
            let scores = scores.reshape((trees, kv_heads, most, per_kv, shape.2))?.broadcast_add(mask)?;
            Ok(scores.reshape(shape)?)
        };
        let (out_before, lse_before) = meet(&of_trees, &self.before[layer], self.dims.scale(), scored)?;
        let (out_before, lse_before) = (by_rows(out_before)?, by_rows(lse_before)?);
        let [keys, values] = &self.own[layer];
        let own = [keys.narrow(1, 0, self.steps + 1)?, values.narrow(1, 0, self.steps + 1)?];
        let of_rows = q.reshape((rows * kv_heads, per_kv, head_dim))?;
        let (out_own, lse_own) = meet(&of_rows, &own, self.dims.scale(), Ok)?;
        let by_heads = |x: Tensor| x.reshape((rows, kv_heads * per_kv, ()));
        let (out_own, lse_own) = (by_heads(out_own)?, by_heads(lse_own)?);
        // Two softmaxes become one: each weighs as much as its sum of exponentials.
        let peak = lse_before.maximum(&lse_own)?;
        let (before, own) = ((lse_before - &peak)?.exp()?, (lse_own - &peak)?.exp()?);
        let sum = (out_before.broadcast_mul(&before)? + out_own.broadcast_mul(&own)?)?;
        let out = sum.broadcast_div(&(before + own)?)?.to_dtype(q.dtype())?;
        Ok(out.reshape((rows, kv_heads * per_kv * head_dim))?)
    }
}

/// Attention of queries `[B, M, D]` over keys and values `[B, S, D]`, and the log-sum-exp of their scores, both in f32.
fn meet(
    q: &Tensor,
    [keys, values]: &KeysValues,
    scale: f32,
    scored: impl FnOnce(Tensor) -> Result<Tensor>,
) -> Result<(Tensor, Tensor)> {
    let scores = scored((q.matmul(&keys.t()?)? * f64::from(scale))?.to_dtype(DType::F32)?)?;
    let peak = scores.max_keepdim(D::Minus1)?;
    let e = scores.broadcast_sub(&peak)?.exp()?;
    let sum = e.sum_keepdim(D::Minus1)?;
    let out = e.broadcast_div(&sum)?.to_dtype(values.dtype())?.matmul(values)?.to_dtype(DType::F32)?;
    Ok((out, (peak + sum.log()?)?))
}

/// Each prompt once, and what its rollouts said.
fn pack(said: &[Said]) -> Result<Pack> {
    let mut builder = PackBuilder::new();
    for group in said.chunk_by(|a, b| std::ptr::eq(a.prompt, b.prompt)) {
        let root = builder.root(group[0].prompt)?;
        for said in group {
            // Any token that is scored: its predictor is the last one said.
            let ids = [said.ids, &[0][..]].concat();
            let scored = std::iter::once(ids.len() - 1..ids.len()).collect();
            builder.continuation(root, Continuation { ids, scored, images: said.images.to_vec() })?;
        }
    }
    builder.build()
}

/// The logits `[n, V]` of hidden states `[n, d]`, on the host.
fn logits(model: &VisionLanguageModel, hidden_nd: &Tensor) -> Result<Vec<f32>> {
    let (decoder, head) = (model.decoder(), model.decoder().head.var().as_detached_tensor());
    let hidden_nd = decoder.finish(hidden_nd, &model.mode(None))?;
    let logits_nv = hidden_nd.matmul(&head.t()?)?.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    Ok(logits_nv.flatten_all()?.to_vec1()?)
}
