//! Noise made from its spectrum: blue noise as holes, brown noise as colour.

use super::{key, published};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, made, rows, wide};
use crate::math::{length, turn};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const BLUE_SAMPLE: Entry = Entry {
    name: "blue_noise_sample",
    summary: "black holes where blue noise is low (ImageNet-C-bar)",
    random: true,
    render: blue_sample,
    kernels: crate::device::spectrum::blue,
};

pub(crate) const BROWNISH: Entry = Entry {
    name: "brownish_noise",
    summary: "large soft blots of colour (ImageNet-C-bar)",
    random: true,
    render: brownish,
    kernels: crate::device::spectrum::brownish,
};

/// How strong a wave of so many waves a pixel is.
#[derive(Clone, Copy)]
pub(crate) enum Power {
    /// In proportion to its frequency, up to this one.
    Blue(f32),
    /// 1 / (1 + f²), f times this; the published code's picture is one long.
    Brown(f32),
}

impl Power {
    #[inline(always)]
    fn at(self, waves: f32) -> f32 {
        match self {
            Self::Blue(most) => {
                if waves <= most {
                    waves
                } else {
                    0.
                }
            }
            Self::Brown(side) => 1. / (waves * side * (waves * side) + 1.),
        }
    }
}

/// Noise of a spectrum: its strengths and its phases' random numbers.
pub(crate) struct Spectrum {
    pub(crate) power: Power,
    pub(crate) key: Key,
}

/// The noise of `blue_noise_sample`, and what it must be above for a pixel to stay. Its strength grows with the frequency
/// as far as the grain of the constants lets it.
pub(crate) fn blue(dose: &Dose) -> (Spectrum, f32) {
    let threshold = 0.3 * published(dose, [0.8, 1.6, 2.4, 4., 5.6]) - 2.5;
    (Spectrum { power: Power::Blue(0.71 / dose.pixel), key: key(dose, BLUE_SAMPLE.name) }, threshold)
}

/// The noises of red, green and blue in `brownish_noise`, and how many greys a deviation of them is.
pub(crate) fn brown(dose: &Dose, (w, h): (usize, usize)) -> ([Spectrum; 3], f32) {
    let noises = ["brownish_noise red", "brownish_noise green", "brownish_noise blue"];
    let side = w.min(h) as f32;
    let noise = |purpose| Spectrum { power: Power::Brown(side), key: key(dose, purpose) };
    (noises.map(noise), 6.4 * published(dose, [1., 2., 3., 4., 5.]))
}

fn blue_sample(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, (spectrum, threshold)) = (image.width() as usize, blue(dose));
    let noise = spectrum.plane((w, image.height() as usize));
    rows!(image, |y, from, to| {
        let noise = &noise[y as usize * w..];
        for ((t, f), n) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(noise) {
            *t = if *n > threshold { *f } else { [0; 3] };
        }
    })
}

fn brownish(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let (spectra, intensity) = brown(dose, (w, h));
    let noise = spectra.map(|spectrum| spectrum.plane((w, h)));
    rows!(image, |y, from, to| {
        let place = y as usize * w;
        let pixels = to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0);
        for (x, (t, f)) in pixels.enumerate() {
            *t = made(|c| byte(f32::from(f[c]) + intensity * noise[c][place + x]));
        }
    })
}

/// The side of the square that is transformed for a picture.
pub(crate) fn square((w, h): (usize, usize)) -> usize {
    w.max(h).next_power_of_two().max(8)
}

/// e^(2πik/n) for the first half of k.
pub(crate) fn turns(n: usize) -> Vec<[f32; 2]> {
    (0..n / 2).map(|k| turn(k as f32 / n as f32)).map(|(sin, cos)| [cos, sin]).collect()
}

impl Spectrum {
    /// A plane of `w` x `h`, of mean 0 and deviation 1.
    fn plane(&self, (w, h): (usize, usize)) -> Vec<f32> {
        let n = square((w, h));
        let waves = |i: usize| (if i < n / 2 { i as f32 } else { i as f32 - n as f32 }) / n as f32;
        let mut spectrum = vec![[0.; 2]; n * n];
        spectrum.par_chunks_mut(n).enumerate().for_each(|(y, line)| {
            let (row, down) = (self.key.row(y as u32), waves(y));
            wide!({
                for (x, value) in line.iter_mut().enumerate() {
                    let strength = if x + y == 0 { 0. } else { self.power.at(length(waves(x), down)) };
                    let (sin, cos) = turn(row.uniform(x as u32));
                    *value = [strength * cos, strength * sin];
                }
            });
        });
        let turns = turns(n);
        let turned = transform_lines(spectrum, n, &turns);
        let done = transform_lines(turned, n, &turns);
        let plane: Vec<f32> =
            done.chunks(n).take(h).flat_map(|line| line[..w].iter().map(|v| v[0])).collect();
        standard(plane, w)
    }
}

/// Shifted and scaled to mean 0 and deviation 1. Sums go along each row and then over the rows, so that no number of
/// threads shows.
fn standard(mut plane: Vec<f32>, w: usize) -> Vec<f32> {
    let count = plane.len() as f64;
    let mean_of = |f: &(dyn Fn(f64) -> f64 + Sync)| {
        let row = |row: &[f32]| row.iter().fold(0., |sum, v| sum + f(f64::from(*v)));
        plane.par_chunks(w).map(row).collect::<Vec<f64>>().iter().fold(0., |sum, v| sum + v) / count
    };
    let mean = mean_of(&|v| v);
    let variance = mean_of(&|v| (v - mean) * (v - mean));
    let scale = 1. / variance.sqrt().max(1e-20);
    plane.par_iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
    plane
}

/// Every line of a square transformed (without scaling), the square transposed.
fn transform_lines(mut square: Vec<[f32; 2]>, n: usize, turns: &[[f32; 2]]) -> Vec<[f32; 2]> {
    square.par_chunks_mut(n).for_each(|line| wide!(fourier(line, turns)));
    let mut out = vec![[0.; 2]; n * n];
    // Sixteen columns at a time, so that a line of cache that is read is used up.
    out.par_chunks_mut(16 * n).enumerate().for_each(|(band, lines)| {
        let wide = lines.len() / n;
        for y in 0..n {
            for x in 0..wide {
                lines[x * n + y] = square[y * n + 16 * band + x];
            }
        }
    });
    out
}

/// Cooley and Tukey's transform in place; `turns[k]` is e^(2πik/n).
#[inline(always)]
fn fourier(line: &mut [[f32; 2]], turns: &[[f32; 2]]) {
    let n = line.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            line.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        for block in line.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (a, b)) in low.iter_mut().zip(high).enumerate() {
                let [cos, sin] = turns[k * stride];
                let t = [b[0] * cos - b[1] * sin, b[0] * sin + b[1] * cos];
                *b = [a[0] - t[0], a[1] - t[1]];
                *a = [a[0] + t[0], a[1] + t[1]];
            }
        }
        half *= 2;
    }
}
