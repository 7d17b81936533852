//! `x + out(attention(rope(qkv(norm(x)))))`: the attention half of a layer, text or vision.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor};

use super::attention::Attention;
use super::buffers::Buffer;
use super::layer::{Layer, Saved};
use super::linear::Linear;
use super::norm::Norm;
use super::query_blocks::Dims;
use super::rope::Rotary;
use super::simd;
use super::sink::{GradSink, Weight};

/// The weights; which token sees which, and at what angle, comes with each row ([`AttentionLayer`]).
#[derive(Clone, Debug)]
pub(crate) struct AttentionBlock {
    pub norm: Norm,
    /// Rows of the query heads, then the key heads, then the value heads.
    pub qkv: Linear,
    /// Norms of every query head and every key head, before the rotation (Qwen3).
    pub head_norms: Option<(Norm, Norm)>,
    pub out: Linear,
}

/// An [`AttentionBlock`] on one packed row.
#[derive(Clone, Debug)]
pub(crate) struct AttentionLayer {
    pub block: AttentionBlock,
    pub attention: Attention,
    pub rotary: Rotary,
    /// Receives keys and values, for a decoder that will go on.
    pub tap: Option<KvTap>,
}

/// Keys and values of every layer of a forward pass, `[T, kv_heads * head_dim]` each, in layer order.
#[derive(Clone, Debug, Default)]
pub(crate) struct KvTap(Arc<Mutex<Tapped>>);

/// What the fast path left, or what the compositions did.
#[derive(Debug, Default)]
struct Tapped {
    buffers: Vec<(Buffer, Buffer)>,
    tensors: Vec<(Tensor, Tensor)>,
}

impl KvTap {
    fn tapped(&self) -> MutexGuard<'_, Tapped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was collected on the fast path.
    pub(crate) fn take(&self) -> Vec<(Buffer, Buffer)> {
        std::mem::take(&mut self.tapped().buffers)
    }

    /// What was collected from compositions.
    pub(crate) fn take_tensors(&self) -> Vec<(Tensor, Tensor)> {
        std::mem::take(&mut self.tapped().tensors)
    }

    fn push_tensors(&self, keys: &Tensor, values: &Tensor) {
        self.tapped().tensors.push((keys.detach(), values.detach()));
    }

    fn push(&self, qkv: &[f32], dims: &Dims) {
        let (q, kv) = (dims.q_width(), dims.kv_width());
        let tokens = qkv.len() / (q + 2 * kv);
        let (mut keys, mut values) = (Buffer::new(tokens * kv), Buffer::new(tokens * kv));
        let rows = keys.chunks_exact_mut(kv).zip(values.chunks_exact_mut(kv));
        for ((keys, values), row) in rows.zip(qkv.chunks_exact(q + 2 * kv)) {
            keys.copy_from_slice(&row[q..q + kv]);
            values.copy_from_slice(&row[q + kv..]);
        }
        self.tapped().buffers.push((keys, values));
    }
}

impl AttentionBlock {
    /// Its linear layers, in the order in which they run.
    pub(crate) fn linears(&mut self) -> [&mut Linear; 2] {
        [&mut self.qkv, &mut self.out]
    }

    /// The block in one pass of training, whose seed decides what adapters drop.
    pub(crate) fn in_pass(&self, pass: Option<u64>) -> Self {
        let mut block = self.clone();
        block.linears().into_iter().for_each(|linear| linear.enter(pass));
        block
    }

    /// Queries, keys and values of the normalised rows, before and after head norms and rotation.
    pub(crate) fn project(
        &self,
        x: &[f32],
        attention: &Dims,
        rotary: &Rotary,
        keep_raw: bool,
    ) -> Result<(Buffer, Option<Buffer>)> {
        let mut qkv = self.qkv.apply(&self.norm.apply(x)?)?;
        let raw = (keep_raw && self.head_norms.is_some()).then(|| Buffer::copy_of(&qkv));
        self.turn(&mut qkv, attention, rotary)?;
        Ok((qkv, raw))
    }

    /// Queries `[T, H * D]`, keys and values `[T, K * D]` of rows, in candle operations.
    pub(crate) fn compose_qkv(&self, x: &Tensor, dims: &Dims, rotary: &Rotary) -> Result<[Tensor; 3]> {
        let tokens = x.dim(0)?;
        let qkv = self.qkv.compose(&self.norm.compose_last(x)?)?;
        let turned = |first: usize, heads: usize, norm: Option<&Norm>| -> Result<Tensor> {
            let part = qkv.narrow(1, first, heads * dims.head_dim)?;
            let part = part.reshape((tokens, heads, dims.head_dim))?;
            let part = norm.map_or(Ok(part.clone()), |norm| norm.compose_last(&part))?;
            rotary.compose(&part)?.reshape((tokens, heads * dims.head_dim))
        };
        let norms = self.head_norms.as_ref();
        let q = turned(0, dims.heads, norms.map(|norms| &norms.0))?;
        let k = turned(dims.q_width(), dims.kv_heads, norms.map(|norms| &norms.1))?;
        Ok([q, k, qkv.narrow(1, dims.q_width() + dims.kv_width(), dims.kv_width())?])
    }

    /// Head norms and rotation of projected rows.
    pub(crate) fn turn(&self, qkv: &mut [f32], attention: &Dims, rotary: &Rotary) -> Result<()> {
        let stride = self.qkv.out();
        if let Some((q_norm, k_norm)) = &self.head_norms {
            q_norm.apply_strided(qkv, stride, 0, attention.heads)?;
            k_norm.apply_strided(qkv, stride, attention.q_width(), attention.kv_heads)?;
        }
        rotary.rotate(qkv, stride, attention.heads + attention.kv_heads, 1.0);
        Ok(())
    }
}

impl Layer for AttentionLayer {
    fn widths(&self) -> (usize, usize) {
        (self.block.norm.width(), self.block.out.out())
    }

    fn weights(&self) -> Vec<&Weight> {
        let AttentionBlock { norm, qkv, head_norms, out } = &self.block;
        let heads = head_norms.iter().flat_map(|(q, k)| q.parameters().chain(k.parameters()));
        norm.parameters().chain(qkv.parameters()).chain(heads).chain(out.parameters()).collect()
    }

    fn forward(&self, x: &[f32]) -> Result<(Buffer, Saved)> {
        let (qkv, raw) = self.block.project(x, &self.attention.dims, &self.rotary, true)?;
        if let Some(tap) = &self.tap {
            tap.push(&qkv, &self.attention.dims);
        }
        let (out, lse) = self.attention.forward(&qkv);
        let mut y = Buffer::copy_of(x);
        self.block.out.add_to(&out, &mut y)?;
        Ok((y, [qkv, out, lse].into_iter().chain(raw).collect()))
    }

    fn backward(&self, x: &[f32], saved: Saved, d_y: Buffer, sink: &GradSink) -> Result<Buffer> {
        let (block, dims) = (&self.block, self.attention.dims);
        let [qkv, out, lse, rest @ ..] = &saved[..] else {
            candle_core::bail!("attention saved {} buffers, not 3", saved.len())
        };
        let low = block.out.low_grads(&d_y)?;
        block.out.weight_grads(out, &d_y, &low, sink)?;
        let d_out = block.out.input_grad(&d_y, &low)?;
        let mut d_qkv = self.attention.backward(qkv, out, lse, &d_out);
        drop(d_out);
        let stride = block.qkv.out();
        self.rotary.rotate(&mut d_qkv, stride, dims.heads + dims.kv_heads, -1.0);
        if let (Some((q_norm, k_norm)), Some(raw)) = (&block.head_norms, rest.first()) {
            q_norm.backward_strided(raw, &mut d_qkv, stride, 0, dims.heads, sink)?;
            k_norm.backward_strided(raw, &mut d_qkv, stride, dims.q_width(), dims.kv_heads, sink)?;
        }
        drop(saved);
        let low = block.qkv.low_grads(&d_qkv)?;
        if block.qkv.learns() {
            block.qkv.weight_grads(&block.norm.apply(x)?, &d_qkv, &low, sink)?;
        }
        let mut d_x = block.qkv.input_grad(&d_qkv, &low)?;
        block.norm.backward_strided(x, &mut d_x, block.norm.width(), 0, 1, sink)?;
        simd::par_add(&mut d_x, &d_y);
        Ok(d_x)
    }

    fn compose(&self, x: &Tensor) -> Result<Tensor> {
        let [q, k, v] = self.block.compose_qkv(x, &self.attention.dims, &self.rotary)?;
        if let Some(tap) = &self.tap {
            tap.push_tensors(&k, &v);
        }
        let out = self.attention.compose(&Tensor::cat(&[q, k, v], 1)?)?;
        x + self.block.out.compose(&out)?
    }
}
