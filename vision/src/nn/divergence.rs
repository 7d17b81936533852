//! [`token_divergences`]: `KL(p ‖ q)` over the vocabulary at given tokens, without `[T, vocab]` in memory.
//!
//! Which side learns is the caller's choice, since both may be one model that sees two images.

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::anywhere::by_rows;
use super::buffers::Buffer;
use super::host::{Host, floats};
use super::layer::Mode;
use super::logprobs::{COMPOSED_ELEMENTS, log_softmax, tokens_per_chunk};
use super::matmul::{Mat, Write, par_matmul};
use super::simd::{exp, max, vectorised};
use super::sink::Weight;

/// Final hidden states of some tokens, the head that reads them, and whether gradients go there.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub hidden_nd: &'a Tensor,
    pub head: &'a Weight,
    pub learns: bool,
}

/// `KL(softmax(p / temperature) ‖ softmax(q / temperature))` at each token, `[N]`.
pub(crate) fn token_divergences(p: Side<'_>, q: Side<'_>, temperature: f32, mode: &Mode) -> Result<Tensor> {
    if p.hidden_nd.dim(0)? != q.hidden_nd.dim(0)? || p.head.var().dim(0)? != q.head.var().dim(0)? {
        bail!("a divergence of {:?} and {:?}", p.hidden_nd.shape(), q.hidden_nd.shape());
    }
    let input = |side: Side<'_>| -> Result<Tensor> {
        let hidden_nd = side.hidden_nd.contiguous()?;
        Ok(if side.learns { hidden_nd } else { hidden_nd.detach() })
    };
    let (p_nd, q_nd) = (input(p)?, input(q)?);
    if mode.composes(&p_nd) {
        let rows = COMPOSED_ELEMENTS / p.head.var().dim(0)?;
        return compose([(&p_nd, p), (&q_nd, q)], temperature, (mode, rows));
    }
    if let Some(sink) = &mode.sink {
        sink.expect([p, q].iter().filter(|side| side.learns).map(|side| side.head));
    }
    let op = Divergence {
        inverse_temperature: 1.0 / temperature,
        heads: [p.head.clone(), q.head.clone()],
        learns: [p.learns, q.learns],
        mode: mode.clone(),
        saved: OnceLock::new(),
    };
    p_nd.apply_op3(&q_nd, &mode.anchor()?, op)
}

/// [`token_divergences`] of so many rows at a time in candle operations; their logits are made again in the backward
/// pass.
pub(super) fn compose(
    sides: [(&Tensor, Side<'_>); 2],
    temperature: f32,
    (mode, rows): (&Mode, usize),
) -> Result<Tensor> {
    let both_nd = Tensor::cat(&sides.map(|(hidden_nd, _)| hidden_nd), 1)?;
    let width = sides[0].0.dim(1)?;
    let heads = sides.map(|(_, side)| (side.head.clone(), side.learns));
    let weights = heads.iter().filter(|(_, learns)| *learns).map(|(head, _)| head.clone()).collect();
    let map = move |both_nd: &Tensor, _: Range<usize>| {
        let (p_nd, q_nd) = (both_nd.narrow(1, 0, width)?, both_nd.narrow(1, width, both_nd.dim(1)? - width)?);
        let log_p = log_softmax(&p_nd.contiguous()?, &heads[0].0, heads[0].1, temperature)?;
        let log_q = log_softmax(&q_nd.contiguous()?, &heads[1].0, heads[1].1, temperature)?;
        (log_p.exp()? * (log_p - log_q)?)?.sum_keepdim(D::Minus1)
    };
    by_rows(&both_nd, map, (weights, rows), mode)?.squeeze(1)
}

struct Divergence {
    inverse_temperature: f32,
    heads: [Weight; 2],
    learns: [bool; 2],
    mode: Mode,
    saved: OnceLock<Vec<Stats>>,
}

/// What the backward pass needs of a token's two distributions.
#[derive(Clone, Copy, Default)]
struct Stats {
    log_sum_exp: [f32; 2],
    divergence: f32,
}

impl Stats {
    #[inline(always)]
    fn of(p: &[f32], q: &[f32]) -> Self {
        let log_sum_exp = [log_sum_exp(p), log_sum_exp(q)];
        let shift = log_sum_exp[1] - log_sum_exp[0];
        let terms = p.iter().zip(q).map(|(p, q)| exp(p - log_sum_exp[0]) * (p - q + shift));
        Self { log_sum_exp, divergence: terms.sum() }
    }

    /// Replaces the logits of a token by their gradients: `g · p · (log p - log q - KL)` and `g · (q - p)`.
    #[inline(always)]
    fn d_logits(self, p: &mut [f32], q: &mut [f32], g: f32) {
        for (p, q) in p.iter_mut().zip(q) {
            let (log_p, log_q) = (*p - self.log_sum_exp[0], *q - self.log_sum_exp[1]);
            *p = g * exp(log_p) * (log_p - log_q - self.divergence);
            *q = g * (exp(log_q) - exp(log_p));
        }
    }
}

#[inline(always)]
fn log_sum_exp(logits: &[f32]) -> f32 {
    let peak = max(logits);
    peak + logits.iter().map(|l| exp(l - peak)).sum::<f32>().ln()
}

impl Divergence {
    /// Calls `each(first_token, [hidden; 2], [logits; 2])` on chunks of tokens.
    fn chunks(
        &self,
        hidden: [&[f32]; 2],
        tokens: usize,
        mut each: impl FnMut(usize, [&[f32]; 2], [&mut [f32]; 2]) -> Result<()>,
    ) -> Result<()> {
        let vocab = self.heads[0].var().dim(0)?;
        let chunk = tokens_per_chunk(vocab).min(tokens).max(1);
        let mut logits = [Buffer::new(chunk * vocab), Buffer::new(chunk * vocab)];
        let widths = [hidden[0].len() / tokens.max(1), hidden[1].len() / tokens.max(1)];
        for first in (0..tokens).step_by(chunk) {
            let rows = chunk.min(tokens - first);
            let part = |side: usize| &hidden[side][first * widths[side]..(first + rows) * widths[side]];
            let hidden = [part(0), part(1)];
            let [p, q] = &mut logits;
            let mut both = [&mut p[..rows * vocab], &mut q[..rows * vocab]];
            for (side, logits) in both.iter_mut().enumerate() {
                let head = self.heads[side].host()?;
                let (hidden, head) =
                    (Mat::new(hidden[side], widths[side]), Mat::new(&head, widths[side]).t());
                par_matmul(logits, Write::Replace, self.inverse_temperature, hidden, head);
            }
            each(first, hidden, both)?;
        }
        Ok(())
    }
}

impl CustomOp3 for Divergence {
    fn name(&self) -> &'static str {
        "token-divergences"
    }

    fn cpu_fwd(
        &self,
        p: &CpuStorage,
        p_layout: &Layout,
        q: &CpuStorage,
        q_layout: &Layout,
        _anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (tokens, _) = p_layout.shape().dims2()?;
        let mut stats = vec![Stats::default(); tokens];
        let hidden = [floats(p, p_layout)?, floats(q, q_layout)?];
        self.chunks(hidden, tokens, |first, _, [p, q]| {
            let vocab = self.heads[0].var().dim(0)?;
            let rows = p.par_chunks(vocab).zip(q.par_chunks(vocab)).zip(&mut stats[first..]);
            rows.for_each(|((p, q), stats)| *stats = vectorised(|| Stats::of(p, q)));
            Ok(())
        })?;
        let values = stats.iter().map(|token| token.divergence).collect();
        self.saved.get_or_init(|| stats);
        Ok((CpuStorage::F32(values), tokens.into()))
    }

    fn bwd(
        &self,
        p: &Tensor,
        q: &Tensor,
        _anchor: &Tensor,
        _res: &Tensor,
        grad_n: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (Some(saved), Some(sink)) = (self.saved.get(), &self.mode.sink) else {
            bail!("token divergences: backward without forward or sink")
        };
        let grad_n = grad_n.contiguous()?;
        let (p_host, q_host, grads) = (Host::of(p)?, Host::of(q)?, Host::of(&grad_n)?);
        let tracked = [p.track_op(), q.track_op()];
        let mut d_hidden = [Buffer::new(p_host.len()), Buffer::new(q_host.len())];
        self.chunks([&p_host, &q_host], saved.len(), |first, hidden, [p, q]| {
            let vocab = self.heads[0].var().dim(0)?;
            let rows = p.par_chunks_mut(vocab).zip(q.par_chunks_mut(vocab)).enumerate();
            rows.for_each(|(row, (p, q))| {
                vectorised(|| saved[first + row].d_logits(p, q, grads[first + row]));
            });
            for (side, d_logits) in [&*p, &*q].into_iter().enumerate().filter(|(side, _)| self.learns[*side])
            {
                let rows = d_logits.len() / vocab;
                let width = hidden[side].len() / rows;
                let (d_logits, head) = (Mat::new(d_logits, vocab), self.heads[side].host()?);
                let scale = self.inverse_temperature;
                if tracked[side] {
                    let d_hidden = &mut d_hidden[side][first * width..(first + rows) * width];
                    par_matmul(d_hidden, Write::Replace, scale, d_logits, Mat::new(&head, width));
                }
                sink.add(&self.heads[side], |grad, write| {
                    par_matmul(grad, write, scale, d_logits.t(), Mat::new(hidden[side], width));
                });
            }
            Ok(())
        })?;
        let learning = self.heads.iter().zip(self.learns).filter(|(_, learns)| *learns);
        sink.settle(learning.map(|(head, _)| head));
        let [d_p, d_q] = d_hidden;
        let tensor = |tracked: bool, grad: Buffer, of: &Tensor| -> Result<Option<Tensor>> {
            tracked.then(|| Tensor::from_vec(grad.into_vec(), of.shape(), of.device())).transpose()
        };
        Ok((tensor(tracked[0], d_p, p)?, tensor(tracked[1], d_q, q)?, None))
    }
}
