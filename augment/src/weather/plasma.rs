//! Clouds: the diamond-square fractal on a torus.

use crate::random::{Key, Row};
use rayon::prelude::*;

/// A square of `side` (a power of two, at least 2) of values that fill 0..=1, `decay` being what each halving of the
/// step divides the roughness by.
///
/// The published code fills one array at growing density. Here each level is a grid of its own, twice as fine as the
/// last, so that rows are contiguous and every row can be made by another thread.
pub(crate) fn plasma(side: usize, decay: f32, key: Key) -> Vec<f32> {
    let mut grid = vec![0.];
    for level in plasma_levels(side, decay) {
        grid = finer(&grid, level.cells, level.rough, |row| key.row(level.draws | row));
    }
    stretch(&mut grid);
    grid
}

/// One doubling of the grid.
pub(crate) struct Level {
    /// Rows of the grid that is doubled.
    pub(crate) cells: usize,
    /// How far a draw goes either way.
    pub(crate) rough: f32,
    /// The first row of its random numbers.
    pub(crate) draws: u32,
}

/// From one place up to `side`.
pub(crate) fn plasma_levels(side: usize, decay: f32) -> impl Iterator<Item = Level> {
    let mut wibble = 100.;
    (0..side.trailing_zeros()).map(move |level| {
        let rough = wibble * wibble;
        wibble /= decay;
        Level { cells: 1 << level, rough, draws: level << 24 }
    })
}

/// The grid of `2n` x `2n` from that of `n` x `n`: middles of squares first, then the middles of the diamonds that
/// those and the corners make; each the mean of its four plus a uniform draw of up to `rough` either way.
fn finer(grid: &[f32], n: usize, rough: f32, row: impl Fn(u32) -> Row + Sync) -> Vec<f32> {
    let next = |i: usize| (i + 1) % n;
    let draw = |row: Row, column: usize| rough * (2. * row.uniform(column as u32) - 1.);
    let mut middle = vec![0.; n * n];
    middle.par_chunks_mut(n).enumerate().for_each(|(y, to)| {
        let (above, below, row) = (&grid[y * n..][..n], &grid[next(y) * n..][..n], row(3 * y as u32));
        for (x, t) in to.iter_mut().enumerate() {
            let sum = above[x] + above[next(x)] + below[x] + below[next(x)];
            *t = sum / 4. + draw(row, x);
        }
    });
    let mut out = vec![0.; 4 * n * n];
    out.par_chunks_mut(4 * n).enumerate().for_each(|(y, to)| {
        let (even, odd) = to.split_at_mut(2 * n);
        let (corner, below) = (&grid[y * n..][..n], &grid[next(y) * n..][..n]);
        let (here, above) = (&middle[y * n..][..n], &middle[(y + n - 1) % n * n..][..n]);
        let (right, down) = (row(3 * y as u32 + 1), row(3 * y as u32 + 2));
        let pairs = even.as_chunks_mut::<2>().0.iter_mut().zip(odd.as_chunks_mut::<2>().0);
        for (x, (even, odd)) in pairs.enumerate() {
            let left = here[if x == 0 { n - 1 } else { x - 1 }];
            *even = [corner[x], (here[x] + above[x] + corner[x] + corner[next(x)]) / 4. + draw(right, x)];
            *odd = [(here[x] + left + corner[x] + below[x]) / 4. + draw(down, x), here[x]];
        }
    });
    out
}

/// Shifted and scaled to fill 0..=1.
fn stretch(grid: &mut [f32]) {
    let both = |a: (f32, f32), b: (f32, f32)| (a.0.min(b.0), a.1.max(b.1));
    let span = |part: &[f32]| part.iter().fold((f32::MAX, f32::MIN), |a, v| both(a, (*v, *v)));
    let (low, high) = grid.par_chunks(1 << 14).map(span).reduce(|| (f32::MAX, f32::MIN), both);
    let scale = 1. / (high - low).max(f32::MIN_POSITIVE);
    grid.par_chunks_mut(1 << 14).for_each(|part| part.iter_mut().for_each(|v| *v = (*v - low) * scale));
}
