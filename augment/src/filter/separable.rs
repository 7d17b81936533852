//! Symmetric separable kernels: down the columns first, straight from the source's rows, then along the row, so
//! that no picture in between is kept. `C` is the number of interleaved channels.

use super::Border;
use crate::fast::{byte, wide};
use image::RgbImage;
use rayon::prelude::*;

/// A symmetric kernel, from its centre outwards.
#[derive(Debug, Clone)]
pub(crate) struct Kernel(pub(crate) Vec<f32>);

impl Kernel {
    /// A normalised Gaussian, cut at `truncate` standard deviations as scipy does.
    pub(crate) fn gaussian(sigma: f32, truncate: f32) -> Self {
        let radius = (f64::from(truncate) * f64::from(sigma) + 0.5) as usize;
        Self::bell(sigma, radius)
    }

    /// A normalised Gaussian of `2 radius + 1` taps.
    pub(crate) fn bell(sigma: f32, radius: usize) -> Self {
        let bell: Vec<f64> =
            (0..=radius).map(|i| (-0.5 * (i as f64 / f64::from(sigma.max(1e-3))).powi(2)).exp()).collect();
        let sum = 2. * bell.iter().sum::<f64>() - bell[0];
        Self(bell.iter().map(|b| (b / sum) as f32).collect())
    }

    /// The weight `i` from the centre.
    pub(crate) fn at(&self, i: usize) -> f32 {
        self.0.get(i).copied().unwrap_or(0.)
    }

    fn radius(&self) -> usize {
        self.0.len() - 1
    }
}

/// What a row is made of.
pub(crate) trait Sample: Copy + Sync {
    /// The sum of two samples.
    fn pair(self, other: Self) -> f32;
}

impl Sample for u8 {
    #[inline(always)]
    fn pair(self, other: Self) -> f32 {
        f32::from(u16::from(self) + u16::from(other))
    }
}

impl Sample for f32 {
    #[inline(always)]
    fn pair(self, other: Self) -> f32 {
        self + other
    }
}

/// Row `y` of the `h` rows of `source` filtered by `down` and `along`, into `out`; `pad` is working space.
#[inline(always)]
pub(crate) fn filter_row<S: Sample, const C: usize>(
    source: &[S],
    y: usize,
    kernels: (&Kernel, &Kernel),
    border: Border,
    pad: &mut Vec<f32>,
    out: &mut [f32],
) {
    let (stride, radius) = (out.len(), kernels.1.radius());
    let h = source.len() / stride;
    let start = |d: i64| border.at(y as i64 + d, h) * stride;
    let pairs: Vec<_> = (0..kernels.0.0.len() as i64).map(|d| (start(d), start(-d))).collect();
    pad.resize(stride + 2 * C * radius, 0.);
    weigh(source, &pairs, &kernels.0.0, &mut pad[C * radius..][..stride]);
    extend::<C>(pad, radius, border);
    let pairs: Vec<_> = (0..=radius).map(|d| (C * (radius - d), C * (radius + d))).collect();
    weigh(pad, &pairs, &kernels.1.0, out);
}

/// `out[i]` = the sum over the taps of weight times (`source[left + i] + source[right + i]`), from the centre outwards;
/// the centre's own pair is one sample twice.
#[inline(always)]
fn weigh<S: Sample>(source: &[S], pairs: &[(usize, usize)], weights: &[f32], out: &mut [f32]) {
    // So many sums at a time stay in registers.
    const LANES: usize = 64;
    let (chunks, rest) = out.as_chunks_mut::<LANES>();
    let done = LANES * chunks.len();
    for (i, out) in chunks.iter_mut().enumerate() {
        let mut sum = [0.; LANES];
        for ((left, right), weight) in pairs.iter().zip(halved(weights)) {
            let (left, right) = (&source[left + LANES * i..][..LANES], &source[right + LANES * i..][..LANES]);
            for ((s, a), b) in sum.iter_mut().zip(left).zip(right) {
                *s += weight * a.pair(*b);
            }
        }
        *out = sum;
    }
    for (i, out) in (done..).zip(rest) {
        *out = 0.;
        for ((left, right), weight) in pairs.iter().zip(halved(weights)) {
            *out += weight * source[left + i].pair(source[right + i]);
        }
    }
}

/// The weights from the centre outwards, the first one halved.
#[inline(always)]
fn halved(weights: &[f32]) -> impl Iterator<Item = f32> {
    weights.iter().enumerate().map(|(d, k)| if d == 0 { k * 0.5 } else { *k })
}

/// Fills the `radius` pixels before and after the row that stands in the middle of `pad`.
#[inline(always)]
fn extend<const C: usize>(pad: &mut [f32], radius: usize, border: Border) {
    let w = pad.len() / C - 2 * radius;
    for i in (0..radius).chain(radius + w..2 * radius + w) {
        let from = radius + border.at(i as i64 - radius as i64, w);
        pad.copy_within(C * from..C * from + C, C * i);
    }
}

/// An RGB picture blurred by one kernel both ways.
pub(crate) fn blur_rows(image: &RgbImage, kernel: &Kernel, border: Border) -> RgbImage {
    let mut out = RgbImage::new(image.width(), image.height());
    let stride = 3 * image.width() as usize;
    let space = || (Vec::new(), vec![0.; stride]);
    out.par_chunks_mut(stride).enumerate().for_each_init(space, |(pad, sum), (y, to)| {
        wide!({
            filter_row::<u8, 3>(image.as_raw(), y, (kernel, kernel), border, pad, sum);
            for (t, s) in to.iter_mut().zip(sum.iter()) {
                // A hair up, or a sum of weights a rounding below one would cut a whole level off.
                *t = byte(s + 0.002);
            }
        });
    });
    out
}

/// A plane of `w` columns blurred by one kernel down and one along.
pub(crate) fn blur_plane(plane: &[f32], w: usize, kernels: (&Kernel, &Kernel), border: Border) -> Vec<f32> {
    let mut out = vec![0.; plane.len()];
    out.par_chunks_mut(w).enumerate().for_each_init(Vec::new, |pad, (y, to)| {
        wide!(filter_row::<f32, 1>(plane, y, kernels, border, pad, to));
    });
    out
}
