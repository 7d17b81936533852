//! [`token_logprobs`]: log-probability and entropy of given tokens without `[T, vocab]` in memory.

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::anywhere::{self, by_rows};
use super::buffers::Buffer;
use super::host::{Host, floats};
use super::layer::Mode;
use super::matmul::{Mat, Write, par_matmul};
use super::simd::{LANES, exp, max, vectorised};
use super::sink::Weight;

/// Logits in memory at a time: 16 MiB.
const CHUNK_ELEMENTS: usize = 4 << 20;

/// The same of a composition, which has half a dozen tensors of that size while it is differentiated: 128 MiB.
pub(super) const COMPOSED_ELEMENTS: usize = 32 << 20;

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
        return compose(hidden_nd, head, targets, temperature, (mode, COMPOSED_ELEMENTS / vocab));
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

/// [`token_logprobs`] of so many rows at a time in candle operations; their logits are made again in the backward pass.
fn compose(
    hidden_nd: &Tensor,
    head: &Weight,
    targets: &[u32],
    temperature: f32,
    (mode, rows): (&Mode, usize),
) -> Result<Tensor> {
    let targets_n = Tensor::from_slice(targets, targets.len(), hidden_nd.device())?;
    let (weights, head) = (vec![head.clone()], head.clone());
    let map = move |hidden_nd: &Tensor, tokens: Range<usize>| {
        let targets_n = targets_n.narrow(0, tokens.start, tokens.len())?;
        let log_p = log_softmax(hidden_nd, &head, true, temperature)?;
        let logp_n1 = log_p.gather(&targets_n.unsqueeze(1)?, 1)?;
        let entropy_n1 = (log_p.exp()? * &log_p)?.sum_keepdim(D::Minus1)?.neg()?;
        Tensor::cat(&[logp_n1, entropy_n1], 1)
    };
    by_rows(hidden_nd, map, (weights, rows), mode)?.t()?.contiguous()
}

/// `log(softmax(hidden_nd @ head_vd^T / temperature))` in f32, `[n, V]`. A head that does not learn here has no gradient,
/// whatever becomes of it elsewhere.
pub(super) fn log_softmax(
    hidden_nd: &Tensor,
    head: &Weight,
    learns: bool,
    temperature: f32,
) -> Result<Tensor> {
    let logits_nv = match learns {
        true => anywhere::product(hidden_nd, head)?,
        false => hidden_nd.matmul(&head.var().as_detached_tensor().t()?)?,
    };
    let logits_nv = (logits_nv.to_dtype(DType::F32)? / f64::from(temperature))?;
    let shifted = logits_nv.broadcast_sub(&logits_nv.max_keepdim(D::Minus1)?.detach())?;
    shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)
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

#[cfg(test)]
mod tests {
    use super::super::divergence::{Side, compose as compose_divergences, token_divergences};
    use super::super::layer::backward;
    use super::super::sink::GradSink;
    use super::*;
    use candle_core::{Device, Var};

    fn weight(rows: usize, width: usize, factor: usize) -> Weight {
        let values = (0..rows * width).map(|i| (i * factor % 1000) as f32 / 400.0 - 1.2).collect();
        Weight::new(
            Var::from_tensor(&Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()).unwrap(),
        )
    }

    /// The values of `made`, and what the gradients of `weights` are if later values weigh more.
    fn seen(weights: &[Weight], made: impl Fn(&Mode) -> Result<Tensor>) -> Vec<Vec<f32>> {
        let sink = GradSink::default();
        let y = made(&Mode { sink: Some(sink.clone()), ..Mode::default() }).unwrap().flatten_all().unwrap();
        let factors: Vec<f32> = (0..y.elem_count()).map(|i| 0.3 + 0.1 * i as f32).collect();
        let factors = Tensor::from_vec(factors, y.elem_count(), &Device::Cpu).unwrap();
        backward(&(&y * factors).unwrap().sum_all().unwrap(), &sink, weights).unwrap();
        let grads = weights.iter().map(|w| sink.read(w.var(), <[f32]>::to_vec).unwrap_or_default());
        std::iter::once(y.to_vec1().unwrap()).chain(grads).collect()
    }

    fn assert_close(a: &[Vec<f32>], b: &[Vec<f32>], what: &str) {
        for (a, b) in a.iter().zip(b) {
            assert_eq!(a.len(), b.len(), "{what}");
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{what}: {a} {b}");
            }
        }
    }

    /// However many rows are held at a time, and whatever of head and rows learns.
    #[test]
    fn some_rows_at_a_time_are_all_rows() {
        let (hidden, head, targets) = (weight(7, 5, 7919), weight(11, 5, 104_729), [3, 0, 10, 5, 5, 1, 7]);
        for learns in [true, false] {
            head.set_trainable(learns);
            let weights = [hidden.clone(), head.clone()];
            let x = hidden.var().as_tensor();
            let fast = seen(&weights, |mode| token_logprobs(x, &head, &targets, 0.7, mode));
            assert_eq!(fast[2].is_empty(), !learns);
            for rows in [1, 3, 7, 100] {
                let ours = seen(&weights, |mode| compose(x, &head, &targets, 0.7, (mode, rows)));
                assert_close(&fast, &ours, &format!("{learns}, {rows} rows"));
            }
        }
        head.set_trainable(true);
        let frozen = x_of(&hidden);
        let head_alone = std::slice::from_ref(&head);
        let fast = seen(head_alone, |mode| token_logprobs(&frozen, &head, &targets, 0.7, mode));
        let ours = seen(head_alone, |mode| compose(&frozen, &head, &targets, 0.7, (mode, 3)));
        assert_close(&fast, &ours, "the head alone");
    }

    fn x_of(weight: &Weight) -> Tensor {
        weight.var().as_detached_tensor()
    }

    #[test]
    fn divergences_of_some_rows_at_a_time_are_those_of_all() {
        let (p, narrow, p_head) = (weight(7, 5, 7919), weight(7, 4, 31_337), weight(11, 5, 104_729));
        // By another model, and by the same one.
        let (q_head, other) = (weight(11, 4, 611_953), weight(7, 5, 4241));
        let cases = [(&narrow, &q_head), (&other, &p_head)];
        let which = [[true, true], [true, false], [false, true]];
        for ((q, q_head), learns) in cases.into_iter().flat_map(|case| which.map(|learns| (case, learns))) {
            let sides = [(&p, &p_head, learns[0]), (q, q_head, learns[1])].map(|(hidden, head, learns)| {
                let hidden_nd = if learns { hidden.var().as_tensor().clone() } else { x_of(hidden) };
                (hidden_nd, head, learns)
            });
            let [p_side, q_side] =
                sides.each_ref().map(|(hidden_nd, head, learns)| Side { hidden_nd, head, learns: *learns });
            let weights = [p.clone(), q.clone(), p_head.clone(), q_head.clone()];
            let fast = seen(&weights, |mode| token_divergences(p_side, q_side, 0.7, mode));
            for rows in [1, 3, 100] {
                let both = [(&sides[0].0, p_side), (&sides[1].0, q_side)];
                let ours = seen(&weights, |mode| compose_divergences(both, 0.7, (mode, rows)));
                assert_close(&fast, &ours, &format!("{learns:?}, {rows} rows"));
            }
        }
    }
}
