//! [`token_logprobs`]: log-probability and entropy of given tokens without `[T, vocab]` in memory.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::buffers::Buffer;
use super::host::{Host, floats};
use super::layer::Mode;
use super::matmul::{Mat, Write, par_matmul};
use super::simd::{LANES, exp, max, vectorised};
use super::sink::Weight;

/// Logits in memory at a time: 16 MiB.
const CHUNK_ELEMENTS: usize = 4 << 20;

/// Log-probability of `targets` and entropy of the whole distribution as `[2, N]`, differentiable, under
/// `softmax(hidden_nd @ head_vd^T / temperature)`.
pub(crate) fn token_logprobs(
    hidden_nd: &Tensor,
    head: &Weight,
    targets: &[u32],
    temperature: f32,
    mode: &Mode,
) -> Result<Tensor> {
    let (tokens, vocab) = (hidden_nd.dim(0)?, head.var().dim(0)?);
    if targets.len() != tokens {
        bail!("{} targets for {tokens} tokens", targets.len());
    }
    if let Some(target) = targets.iter().find(|&&target| target as usize >= vocab) {
        bail!("target {target} outside a vocabulary of {vocab}");
    }
    if mode.composes(hidden_nd) {
        return compose(hidden_nd, &head.tensor(), targets, temperature);
    }
    if let Some(sink) = &mode.sink {
        sink.expect([head]);
    }
    let op = TokenLogprobs {
        targets: targets.to_vec(),
        inverse_temperature: 1.0 / temperature,
        head: head.clone(),
        mode: mode.clone(),
        saved: OnceLock::new(),
    };
    hidden_nd.contiguous()?.apply_op2(&mode.anchor()?, op)
}

/// [`token_logprobs`] with all logits in memory.
fn compose(hidden_nd: &Tensor, head_vd: &Tensor, targets: &[u32], temperature: f32) -> Result<Tensor> {
    let targets_n = Tensor::from_slice(targets, targets.len(), hidden_nd.device())?;
    let logits_nv = hidden_nd.matmul(&head_vd.t()?)?.to_dtype(DType::F32)?;
    let logits_nv = (logits_nv / f64::from(temperature))?;
    let peak = logits_nv.max_keepdim(D::Minus1)?.detach();
    let shifted = logits_nv.broadcast_sub(&peak)?;
    let log_p = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let logp_n = log_p.gather(&targets_n.unsqueeze(1)?, 1)?.squeeze(1)?;
    let entropy_n = (log_p.exp()? * &log_p)?.sum(D::Minus1)?.neg()?;
    Tensor::stack(&[logp_n, entropy_n], 0)
}

struct TokenLogprobs {
    targets: Vec<u32>,
    inverse_temperature: f32,
    head: Weight,
    mode: Mode,
    saved: OnceLock<Vec<TokenStats>>,
}

/// What the backward pass needs of a token's distribution.
#[derive(Clone, Copy, Default)]
struct TokenStats {
    log_sum_exp: f32,
    entropy: f32,
    logprob: f32,
}

impl TokenStats {
    #[inline(always)]
    fn of(logits: &[f32], target: usize) -> Self {
        let peak = max(logits);
        let (sum, weighted) = exp_sums(logits, peak);
        let log_sum = sum.ln();
        Self {
            log_sum_exp: peak + log_sum,
            entropy: log_sum - weighted / sum,
            logprob: logits[target] - peak - log_sum,
        }
    }
}

/// `sum(e^s)` and `sum(s * e^s)` for `s = logit - peak`.
#[inline(always)]
fn exp_sums(logits: &[f32], peak: f32) -> (f32, f32) {
    let (mut sums, mut weighted) = ([0.0f32; LANES], [0.0f32; LANES]);
    let wide = logits.chunks_exact(LANES);
    for (lane, &logit) in wide.remainder().iter().enumerate() {
        let e = exp(logit - peak);
        sums[lane] += e;
        weighted[lane] += (logit - peak) * e;
    }
    for chunk in wide {
        for lane in 0..LANES {
            let shifted = chunk[lane] - peak;
            let e = exp(shifted);
            sums[lane] += e;
            weighted[lane] += shifted * e;
        }
    }
    (sums.iter().sum(), weighted.iter().sum())
}

/// How many tokens' logits are in memory at a time.
pub(super) fn tokens_per_chunk(vocab: usize) -> usize {
    (CHUNK_ELEMENTS / vocab).max(16)
}

impl TokenLogprobs {
    /// Calls `each(first_token, hidden, logits)` on chunks of tokens.
    fn chunks(
        &self,
        hidden: &[f32],
        width: usize,
        mut each: impl FnMut(usize, &[f32], &mut [f32]) -> Result<()>,
    ) -> Result<()> {
        let head = self.head.host()?;
        let vocab = head.len() / width;
        let chunk = tokens_per_chunk(vocab).min(self.targets.len()).max(1);
        let mut logits = Buffer::new(chunk * vocab);
        for (index, hidden) in hidden.chunks(chunk * width).enumerate() {
            let logits = &mut logits[..hidden.len() / width * vocab];
            let (hidden_mat, head_mat) = (Mat::new(hidden, width), Mat::new(&head, width).t());
            par_matmul(logits, Write::Replace, self.inverse_temperature, hidden_mat, head_mat);
            each(index * chunk, hidden, logits)?;
        }
        Ok(())
    }
}

impl CustomOp2 for TokenLogprobs {
    fn name(&self) -> &'static str {
        "token-logprobs"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        layout: &Layout,
        _anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (tokens, width) = layout.shape().dims2()?;
        let mut stats = vec![TokenStats::default(); tokens];
        self.chunks(floats(hidden, layout)?, width, |first, hidden, logits| {
            let vocab = logits.len() / (hidden.len() / width);
            let rows = logits.par_chunks(vocab).zip(&self.targets[first..]).zip(&mut stats[first..]);
            rows.for_each(|((logits, &target), stats)| {
                *stats = vectorised(|| TokenStats::of(logits, target as usize));
            });
            Ok(())
        })?;
        let logprobs = stats.iter().map(|token| token.logprob);
        let both = logprobs.chain(stats.iter().map(|token| token.entropy)).collect();
        self.saved.get_or_init(|| stats);
        Ok((CpuStorage::F32(both), (2, tokens).into()))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        _anchor: &Tensor,
        _res: &Tensor,
        grad_2n: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (Some(saved), Some(sink)) = (self.saved.get(), &self.mode.sink) else {
            bail!("token log-probabilities: backward without forward or sink")
        };
        let (tokens, width) = hidden.dims2()?;
        let grad_2n = grad_2n.contiguous()?;
        let (hidden_host, grads) = (Host::of(hidden)?, Host::of(&grad_2n)?);
        let (d_logprob, d_entropy) = grads.split_at(tokens);
        let mut d_hidden = hidden.track_op().then(|| Buffer::new(hidden_host.len()));
        self.chunks(&hidden_host, width, |first, hidden, logits| {
            let vocab = logits.len() / (hidden.len() / width);
            logits.par_chunks_mut(vocab).enumerate().for_each(|(row, logits)| {
                let token = first + row;
                let target = self.targets[token] as usize;
                vectorised(|| d_logits(logits, target, saved[token], d_logprob[token], d_entropy[token]));
            });
            let d_logits = Mat::new(logits, vocab);
            if let Some(d_hidden) = &mut d_hidden {
                let (d_hidden, head) = (&mut d_hidden[first * width..][..hidden.len()], self.head.host()?);
                let scale = self.inverse_temperature;
                par_matmul(d_hidden, Write::Replace, scale, d_logits, Mat::new(&head, width));
            }
            sink.add(&self.head, |grad, write| {
                par_matmul(grad, write, self.inverse_temperature, d_logits.t(), Mat::new(hidden, width));
            });
            Ok(())
        })?;
        sink.settle([&self.head]);
        let tensor = |grad: Buffer| Tensor::from_vec(grad.into_vec(), hidden.shape(), hidden.device());
        Ok((d_hidden.map(tensor).transpose()?, None))
    }
}

/// Replaces logits by their gradients: `d_logprob * (onehot - p) - d_entropy * p * (log p + entropy)`.
#[inline(always)]
fn d_logits(logits: &mut [f32], target: usize, token: TokenStats, d_logprob: f32, d_entropy: f32) {
    for logit in logits.iter_mut() {
        let log_p = *logit - token.log_sum_exp;
        *logit = -exp(log_p) * (d_logprob + d_entropy * (log_p + token.entropy));
    }
    logits[target] += d_logprob;
}
