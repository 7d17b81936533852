//! Safe matrix products of strided slices through the `gemm` crate, and a product for few rows.
//!
//! The crate's one place for unsafe arithmetic: `gemm` takes raw pointers, and every call here is
//! bounds-checked before.
#![allow(unsafe_code)]

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::buffers::Buffer;

/// Multiply-adds below which a product is not worth a second thread.
const MIN_PARALLEL: usize = 1 << 18;

/// Tasks a product is cut into at most, and rows that make a task worth its packing.
const MAX_TASKS: usize = 16;
const FULL_ROWS: usize = 256;

/// A read-only matrix of any strides.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Rows of `cols` elements, one after another.
    pub(crate) fn new(data: &'a [f32], cols: usize) -> Self {
        Self { data, rows: data.len() / cols.max(1), cols, row_stride: cols, col_stride: 1 }
    }

    /// Rows of `cols` elements that begin `row_stride` elements apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    fn rows(self, first: usize, rows: usize) -> Self {
        Self { data: &self.data[first * self.row_stride..], rows, ..self }
    }

    fn assert_in_bounds(&self) {
        let last =
            self.rows.saturating_sub(1) * self.row_stride + self.cols.saturating_sub(1) * self.col_stride;
        assert!(self.rows * self.cols == 0 || last < self.data.len(), "matrix out of bounds");
    }
}

/// What a product does to the matrix it is written to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Write {
    Replace,
    Add,
}

/// `dst (=|+=) scale * lhs @ rhs` on this thread; rows of `dst` begin `dst_stride` apart.
pub(crate) fn matmul(dst: &mut [f32], dst_stride: usize, write: Write, scale: f32, lhs: Mat, rhs: Mat) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert_eq!(k, rhs.rows, "inner dimensions");
    lhs.assert_in_bounds();
    rhs.assert_in_bounds();
    Mat::strided(dst, m, n, dst_stride).assert_in_bounds();
    if m * n == 0 {
        return;
    }
    // SAFETY: the three matrices lie inside their slices (asserted above) and `dst` is borrowed
    // mutably, so it overlaps neither input.
    unsafe {
        gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_stride as isize,
            write == Write::Add,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Rows of one task: a function of the product's shape, never of the number of threads, since `gemm`
/// chooses its kernels, and with them the order of some sums, by size. Few rows would cost as much packing
/// as arithmetic; an even number of tasks leaves no core of two idle.
fn rows_per_task(rows: usize, cols: usize, inner: usize) -> usize {
    if rows * cols * inner < MIN_PARALLEL {
        return rows.max(1);
    }
    let tasks = (rows / FULL_ROWS / 2 * 2).clamp(2, MAX_TASKS);
    rows.div_ceil(tasks).next_multiple_of(16)
}

/// [`matmul`] into dense rows, the rows of `dst` shared among threads. The bytes do not depend on their
/// number.
pub(crate) fn par_matmul(dst: &mut [f32], write: Write, scale: f32, lhs: Mat, rhs: Mat) {
    par_matmul_into(dst, (rhs.cols, 0), write, scale, lhs, rhs);
}

/// [`par_matmul`] into some columns, from `offset` on, of rows that are `stride` wide.
pub(crate) fn par_matmul_into(
    dst: &mut [f32],
    (stride, offset): (usize, usize),
    write: Write,
    scale: f32,
    lhs: Mat,
    rhs: Mat,
) {
    let rows = rows_per_task(lhs.rows, rhs.cols, lhs.cols);
    dst.par_chunks_mut((rows * stride).max(1)).enumerate().for_each(|(task, dst)| {
        let lhs = lhs.rows(task * rows, dst.len() / stride);
        matmul(&mut dst[offset..], stride, write, scale, lhs, rhs);
    });
}

/// `lhs @ rhs` in a buffer.
pub(crate) fn product(lhs: Mat, rhs: Mat) -> Buffer {
    let mut dst = Buffer::new(lhs.rows * rhs.cols);
    par_matmul(&mut dst, Write::Replace, 1.0, lhs, rhs);
    dst
}
