//! A camera in motion: copies of the picture along a line, later ones fainter.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, wide};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const MOTION: Entry = Entry {
    name: "motion_blur",
    summary: "a camera in motion: a one-sided streak of 21 to 41 pixels within 45 degrees of level (ImageNet-C)",
    random: true,
    render: |image, dose| motion(image, &motion_streak(dose)),
    kernels: crate::device::blur::motion,
};

/// The camera's.
pub(crate) fn motion_streak(dose: &Dose) -> Streak {
    let radius = dose.severity.constant(0., [10., 15., 15., 15., 20.]);
    let sigma = dose.severity.constant(0., [3., 5., 8., 12., 15.]);
    let angle = Key::new(dose.seed, MOTION.name).between(0, -45., 45.);
    Streak::new(radius, sigma, angle, dose.pixel)
}

/// The taps of a streak: how far right and down each copy is moved, and its weight.
pub(crate) struct Streak(Vec<(i64, i64, f32)>);

impl Streak {
    /// `2 radius + 1` taps of a half bell of `sigma` pixels along `degrees` below level, a tap a pixel.
    pub(crate) fn new(radius: f32, sigma: f32, degrees: f32, pixel: f32) -> Self {
        let width = 2 * (radius * pixel).round() as i64 + 1;
        let sigma = f64::from(sigma * pixel).max(1e-3);
        let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
        let bell: Vec<f64> = (0..width).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
        let sum: f64 = bell.iter().sum();
        let moved = |i: usize, along: f64| -((i as f64 * along - 0.5).ceil() as i64);
        Self(bell.iter().enumerate().map(|(i, b)| (moved(i, cos), moved(i, sin), (b / sum) as f32)).collect())
    }

    /// The taps for a `w` x `h` picture. A streak that leaves it ends there and the rest of its light is lost, as
    /// published.
    pub(crate) fn within(&self, w: usize, h: usize) -> &[(i64, i64, f32)] {
        let inside =
            |(x, y, _): &&(i64, i64, f32)| x.unsigned_abs() < w as u64 && y.unsigned_abs() < h as u64;
        &self.0[..self.0.iter().take_while(inside).count()]
    }

    /// The streak over a plane of `w` columns.
    pub(crate) fn plane(&self, plane: &[f32], w: usize) -> Vec<f32> {
        let taps = self.within(w, plane.len() / w);
        let mut out = vec![0.; plane.len()];
        out.par_chunks_mut(w).enumerate().for_each(|(y, to)| wide!(streak_row::<f32, 1>(plane, y, taps, to)));
        out
    }
}

fn motion(image: &RgbImage, streak: &Streak) -> RgbImage {
    let stride = 3 * image.width() as usize;
    let taps = streak.within(image.width() as usize, image.height() as usize);
    let mut out = RgbImage::new(image.width(), image.height());
    out.par_chunks_mut(stride).enumerate().for_each_init(
        || vec![0.; stride],
        |sum, (y, to)| {
            wide!({
                sum.fill(0.);
                streak_row::<u8, 3>(image.as_raw(), y, taps, sum);
                to.iter_mut().zip(sum.iter()).for_each(|(t, s)| *t = byte(s + 0.002));
            });
        },
    );
    out
}

/// Adds to `sum` row `y` of each moved copy; edges are repeated.
#[inline(always)]
fn streak_row<S: Copy + Into<f32>, const C: usize>(
    source: &[S],
    y: usize,
    taps: &[(i64, i64, f32)],
    sum: &mut [f32],
) {
    let (stride, w) = (sum.len(), sum.len() / C);
    let last = (source.len() / stride) as i64 - 1;
    for &(right, down, weight) in taps {
        let row = &source[(y as i64 - down).clamp(0, last) as usize * stride..][..stride];
        let (before, after) = (right.clamp(0, w as i64) as usize, (-right).clamp(0, w as i64) as usize);
        for (s, v) in sum[C * before..stride - C * after].iter_mut().zip(&row[C * after..]) {
            *s += weight * (*v).into();
        }
        for (i, s) in sum[..C * before].iter_mut().enumerate() {
            *s += weight * row[i % C].into();
        }
        for (i, s) in sum[stride - C * after..].iter_mut().enumerate() {
            *s += weight * row[stride - C + i % C].into();
        }
    }
}
