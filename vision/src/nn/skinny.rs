//! Products of few rows with a stored weight, for decoding.
//!
//! `gemm` packs its operands and chooses kernels by size, which costs more than the product when rows
//! are few, and lets a row's bytes depend on how many rows stand beside it. Here every output is one sum
//! in one order: a row in a batch equals the row alone, to the bit.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::buffers::Buffer;

/// Rows and outputs whose sums are held in registers together.
const TILE_ROWS: usize = 4;
const TILE_OUTS: usize = 3;

/// Outputs of one task.
const OUTS_PER_TASK: usize = 96;

/// `x_ri @ w_oi^T` as `[rows, outs]`.
pub(crate) fn product(x_ri: &[f32], w_oi: &[f32], inner: usize) -> Buffer {
    let (rows, outs) = (x_ri.len() / inner, w_oi.len() / inner);
    let mut y_or = Buffer::new(rows * outs);
    y_or.par_chunks_mut((OUTS_PER_TASK * rows).max(1)).enumerate().for_each(|(task, y_or)| {
        let w_oi = &w_oi[task * OUTS_PER_TASK * inner..][..y_or.len() / rows * inner];
        pulp::Arch::new().dispatch(Kernel { x_ri, w_oi, inner, y_or });
    });
    if rows == 1 {
        return y_or;
    }
    let mut y_ro = Buffer::new(rows * outs);
    y_ro.par_chunks_mut(outs.max(1)).enumerate().for_each(|(row, y_o)| {
        y_o.iter_mut().zip(y_or[row..].iter().step_by(rows)).for_each(|(y, value)| *y = *value);
    });
    y_ro
}

struct Kernel<'a> {
    x_ri: &'a [f32],
    w_oi: &'a [f32],
    inner: usize,
    y_or: &'a mut [f32],
}

impl WithSimd for Kernel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x_ri, w_oi, inner, y_or } = self;
        let rows = x_ri.len() / inner;
        let outs = w_oi.len() / inner;
        let mut out = 0;
        while out < outs {
            let count = TILE_OUTS.min(outs - out);
            let mut row = 0;
            while row < rows {
                let height = TILE_ROWS.min(rows - row);
                let (x, w) = (&x_ri[row * inner..], &w_oi[out * inner..]);
                let y = &mut y_or[out * rows + row..];
                match (height, count) {
                    (4, 3) => tile::<S, 4, 3>(simd, x, w, inner, y, rows),
                    (1, 3) => tile::<S, 1, 3>(simd, x, w, inner, y, rows),
                    _ => {
                        for r in 0..height {
                            for o in 0..count {
                                tile::<S, 1, 1>(
                                    simd,
                                    &x[r * inner..],
                                    &w[o * inner..],
                                    inner,
                                    &mut y[o * rows + r..],
                                    rows,
                                );
                            }
                        }
                    }
                }
                row += height;
            }
            out += count;
        }
    }
}

/// `y[o * rows + r] = sum_i x[r][i] * w[o][i]`, vectors of `i` summed lane by lane, then the lanes.
#[inline(always)]
fn tile<S: Simd, const R: usize, const O: usize>(
    simd: S,
    x: &[f32],
    w: &[f32],
    inner: usize,
    y: &mut [f32],
    rows: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); O]; R];
    let x: [(&[S::f32s], &[f32]); R] = std::array::from_fn(|r| S::as_simd_f32s(&x[r * inner..][..inner]));
    let w: [(&[S::f32s], &[f32]); O] = std::array::from_fn(|o| S::as_simd_f32s(&w[o * inner..][..inner]));
    let vectors = w[0].0.len();
    let (xs, ws) = (x.map(|(head, _)| &head[..vectors]), w.map(|(head, _)| &head[..vectors]));
    for i in 0..vectors {
        for r in 0..R {
            for o in 0..O {
                sums[r][o] = simd.mul_add_e_f32s(xs[r][i], ws[o][i], sums[r][o]);
            }
        }
    }
    for r in 0..R {
        for o in 0..O {
            let (x_tail, w_tail) = (simd.partial_load_f32s(x[r].1), simd.partial_load_f32s(w[o].1));
            let sum = simd.mul_add_e_f32s(x_tail, w_tail, sums[r][o]);
            y[o * rows + r] = simd.reduce_sum_f32s(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(len: usize, step: u32) -> Vec<f32> {
        (0..len as u32).map(|i| ((i * step) % 997) as f32 / 500.0 - 1.0).collect()
    }

    #[test]
    fn every_row_equals_the_row_alone_and_the_plain_sum() {
        for (rows, outs, inner) in [(1, 1, 1), (3, 5, 7), (8, 97, 64), (9, 200, 33), (4, 6, 16)] {
            let (x, w) = (numbers(rows * inner, 7919), numbers(outs * inner, 104_729));
            let y = product(&x, &w, inner);
            for row in 0..rows {
                let alone = product(&x[row * inner..][..inner], &w, inner);
                assert_eq!(&y[row * outs..][..outs], &alone[..], "{rows} {outs} {inner} row {row}");
                for out in 0..outs {
                    let plain: f64 = (0..inner)
                        .map(|i| f64::from(x[row * inner + i]) * f64::from(w[out * inner + i]))
                        .sum();
                    assert!((f64::from(alone[out]) - plain).abs() < 1e-4, "{plain} {}", alone[out]);
                }
            }
        }
    }
}
