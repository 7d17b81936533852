//! A lens zoomed while the shutter is open: the mean of the picture and of enlarged copies.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, four, made, wide};
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const ZOOM: Entry = Entry {
    name: "zoom_blur",
    summary: "zooming during the exposure, by up to 11 to 31 percent; copies are cut at top left (imagecorruptions)",
    random: false,
    render: |image, dose| zoom(image, &zoom_factors(dose), Cut::TopLeft),
    kernels: crate::device::blur::zoom,
};

pub(crate) const ZOOM_HENDRYCKS: Entry = Entry {
    name: "zoom_blur_hendrycks",
    summary: "zooming during the exposure, as ImageNet-C itself: enlarged copies are cut to their middle",
    random: false,
    render: |image, dose| zoom(image, &zoom_factors(dose), Cut::Middle),
    kernels: crate::device::blur::zoom_hendrycks,
};

/// Which part of an enlarged copy is kept.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    TopLeft,
    Middle,
}

/// The published ranges `arange(1, end, step)`, with numpy's surplus last value at level 1.
pub(crate) fn zoom_factors(dose: &Dose) -> Vec<f64> {
    // To six decimals, or f32's 0.02 would tip a ceiling over.
    let decimal = |x: f32| (f64::from(x) * 1e6).round() / 1e6;
    let last = decimal(dose.severity.constant(0., [0.11, 0.15, 0.2, 0.24, 0.3]));
    let step = decimal(dose.severity.constant(0.01, [0.01, 0.01, 0.02, 0.02, 0.03]));
    let count = (last / step + 1e-3) as u32;
    // Between the levels the last step is cut short, so that the damage grows with every change of severity.
    let end = (f64::from(count) * step < last - 1e-6).then_some(1. + last);
    // numpy's step is the difference of its first two values.
    let step = (1. + step) - 1.;
    (0..=count).map(|i| 1. + f64::from(i) * step).chain(end).collect()
}

/// Where an enlarged copy reads along one side.
pub(crate) struct Line {
    /// The first of the two source pixels.
    pub(crate) at: usize,
    /// The distance to the second one, 0 at the last pixel.
    pub(crate) next: usize,
    /// The second one's weight.
    pub(crate) part: f32,
}

/// Every place of a side of `n` pixels cut to its middle `ceil(n / zoom)` and enlarged again, the first and last of them
/// kept in place (scipy's `zoom` of order 1).
pub(crate) fn clipped(n: usize, zoom: f64) -> Vec<Line> {
    let cut = ((n as f64 / zoom).ceil() as usize).clamp(1, n);
    let first = (n - cut) / 2;
    let all = ((cut as f64 * zoom).round_ties_even() as usize).max(n);
    let ratio = (cut - 1) as f64 / (all - 1).max(1) as f64;
    let line = |i: usize| {
        let place = i as f64 * ratio;
        let at = (place as usize).min(cut - 1);
        Line { at: first + at, next: usize::from(at + 1 < cut), part: (place - at as f64) as f32 }
    };
    (0..all).map(line).collect()
}

/// The `n` of those places that are kept.
pub(crate) fn zoomed(n: usize, zoom: f64, kept: Cut) -> Vec<Line> {
    let mut lines = clipped(n, zoom);
    if kept == Cut::Middle {
        lines.drain(..(lines.len() - n) / 2);
    }
    lines.truncate(n);
    lines
}

fn zoom(image: &RgbImage, factors: &[f64], kept: Cut) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let lines = |n: usize| factors[1..].iter().map(|z| zoomed(n, *z, kept)).collect::<Vec<_>>();
    let (columns, lines) = (lines(w), lines(h));
    let stride = 3 * w;
    let mut out = RgbImage::new(image.width(), image.height());
    let space = || (vec![0f32; stride + 1], vec![[0f32; 4]; w]);
    out.par_chunks_mut(stride).enumerate().for_each_init(space, |(row, sum), (y, to)| {
        let source = |y: usize| &image.as_raw()[y * stride..][..stride];
        wide!({
            // The picture itself and its copy at zoom 1, which the published range begins with.
            for (s, p) in sum.iter_mut().zip(source(y).as_chunks::<3>().0) {
                *s = [2. * f32::from(p[0]), 2. * f32::from(p[1]), 2. * f32::from(p[2]), 0.];
            }
            for (columns, lines) in columns.iter().zip(&lines) {
                let line = &lines[y];
                blend(source(line.at), source(line.at + line.next), line.part, row);
                enlarge(row, columns, sum);
            }
            let scale = 1. / (factors.len() + 1) as f32;
            for (t, s) in to.as_chunks_mut::<3>().0.iter_mut().zip(sum.iter()) {
                *t = made(|c| byte(s[c] * scale + 0.002));
            }
        });
    });
    out
}

#[inline(always)]
fn blend(a: &[u8], b: &[u8], part: f32, row: &mut [f32]) {
    for ((r, a), b) in row.iter_mut().zip(a).zip(b) {
        *r = f32::from(*a) + (f32::from(*b) - f32::from(*a)) * part;
    }
}

#[inline(always)]
fn enlarge(row: &[f32], columns: &[Line], sum: &mut [[f32; 4]]) {
    for (s, line) in sum.iter_mut().zip(columns) {
        let (a, b) = (four(row, 3 * line.at), four(row, 3 * (line.at + line.next)));
        // All is read before anything is written, or the four do not become one register.
        let add: [f32; 4] = made(|c| s[c] + (a[c] + (b[c] - a[c]) * line.part));
        *s = add;
    }
}
