//! Elementwise arithmetic compiled for the widest vectors the machine has, and spread over threads.
//!
//! Reductions have fixed lanes and nothing is fused, so the bytes do not depend on vector width or on
//! the number of threads.

use rayon::prelude::*;

/// Partial sums of a reduction: one AVX-512 register.
pub(crate) const LANES: usize = 16;

/// Elements below which a loop is not worth a second thread.
const MIN_PARALLEL: usize = 16 * 1024;

/// Runs `f`, with everything inlined into it, compiled for this machine's vector extensions.
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Rows of `width` elements that one task of [`par_rows`] takes.
pub(crate) fn rows_per_task(width: usize) -> usize {
    (MIN_PARALLEL / width.max(1)).max(1)
}

/// Calls `f(first_row, rows)` on runs of whole rows of `data`, in parallel.
pub(crate) fn par_rows(data: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = rows_per_task(width);
    data.par_chunks_mut((rows * width).max(1))
        .enumerate()
        .for_each(|(task, chunk)| vectorised(|| f(task * rows, chunk)));
}

/// `e^x` to about 2 units in the last place; 0 below -87, never infinite; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_2e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let mantissa = p * r * r + r + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { mantissa * scale }
}

#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The Gauss error function to about 1e-7: its power series (odd, degree 13) for |x| < 1, and beyond
/// that `1 - e^(-x^2) * P(1/|x|) / |x|`; both polynomials as in the Cephes library (`ndtrf.c`).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    const INNER: [f32; 7] = [
        7.853_861_4e-5,
        -8.010_193_6e-4,
        5.188_328e-3,
        -2.685_381_2e-2,
        1.128_358_5e-1,
        -3.761_262_6e-1,
        std::f32::consts::FRAC_2_SQRT_PI,
    ];
    const OUTER: [f32; 9] = [
        2.326_819_8e-2,
        -1.387_039_4e-1,
        3.687_424_7e-1,
        -5.824_733e-1,
        6.210_004_6e-1,
        -4.944_515_3e-1,
        3.404_88e-1,
        -2.741_127e-1,
        5.638_259_4e-1,
    ];
    let (size, square) = (x.abs(), x * x);
    let inner = INNER.iter().fold(0.0, |p, c| p * square + c) * x;
    // The outer form holds from 1 to 2 as well as beyond (largest error there 6e-8).
    let inverse = 1.0 / size.max(1.0);
    let tail = exp(-square) * inverse * OUTER.iter().fold(0.0, |p, c| p * inverse * inverse + c);
    let outer = (1.0 - tail).copysign(x);
    if size < 1.0 { inner } else { outer }
}

/// `sum(f(a_i, b_i))` over two slices of one length.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_wide, b_wide) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_wide.remainder().iter().zip(b_wide.remainder()).map(|(&a, &b)| f(a, b)).sum();
    for (a, b) in a_wide.zip(b_wide) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane]);
        }
    }
    lanes.iter().sum::<f32>() + tail
}

#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum2(a, b, |a, b| a * b)
}

#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    sum2(a, a, |a, _| a)
}

#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let wide = values.chunks_exact(LANES);
    let tail = wide.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in wide {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.into_iter().fold(tail, f32::max)
}

/// Replaces each value by `e^(value - shift)` and returns their sum.
#[inline(always)]
pub(crate) fn exp_shifted(values: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let mut wide = values.chunks_exact_mut(LANES);
    for chunk in &mut wide {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] - shift);
            lanes[lane] += chunk[lane];
        }
    }
    let mut tail = 0.0;
    for value in wide.into_remainder() {
        *value = exp(*value - shift);
        tail += *value;
    }
    lanes.iter().sum::<f32>() + tail
}

#[inline(always)]
pub(crate) fn add(total: &mut [f32], values: &[f32]) {
    total.iter_mut().zip(values).for_each(|(total, value)| *total += value);
}

/// [`add`] on all threads.
pub(crate) fn par_add(total: &mut [f32], values: &[f32]) {
    par_rows(total, 1, |first, total| add(total, &values[first..]));
}
