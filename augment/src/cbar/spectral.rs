//! Noise made from its spectrum: blue noise as holes, brown noise as colour.

use super::{key, published, side};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, made, rows};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;
use std::f32::consts::TAU;

pub(crate) const BLUE_SAMPLE: Entry = Entry {
    name: "blue_noise_sample",
    summary: "black holes where blue noise is low (ImageNet-C-bar)",
    random: true,
    render: blue_sample,
};

pub(crate) const BROWNISH: Entry = Entry {
    name: "brownish_noise",
    summary: "large soft blots of colour (ImageNet-C-bar)",
    random: true,
    render: brownish,
};

fn blue_sample(image: &RgbImage, dose: &Dose) -> RgbImage {
    let threshold = 0.3 * published(dose, [0.8, 1.6, 2.4, 4., 5.6]) - 2.5;
    // Its strength grows with the frequency as far as the grain of the constants lets it.
    let noise =
        field(
            image,
            key(dose, BLUE_SAMPLE.name),
            |waves| if waves <= 0.71 / dose.pixel { waves } else { 0. },
        );
    let w = image.width() as usize;
    rows!(image, |y, from, to| {
        let noise = &noise[y as usize * w..];
        for ((t, f), n) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(noise) {
            *t = if *n > threshold { *f } else { [0; 3] };
        }
    })
}

fn brownish(image: &RgbImage, dose: &Dose) -> RgbImage {
    let intensity = 6.4 * published(dose, [1., 2., 3., 4., 5.]);
    let side = side(image);
    let noise = ["red", "green", "blue"].map(|channel| {
        let purpose = format!("{} {channel}", BROWNISH.name);
        field(image, key(dose, &purpose), |waves| 1. / ((waves * side).powi(2) + 1.))
    });
    let w = image.width() as usize;
    rows!(image, |y, from, to| {
        let place = y as usize * w;
        let pixels = to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0);
        for (x, (t, f)) in pixels.enumerate() {
            *t = made(|c| byte(f32::from(f[c]) + intensity * noise[c][place + x]));
        }
    })
}

/// A plane the size of `image`, of mean 0 and deviation 1, whose spectrum has random phases and the strength `power`
/// of so many waves a pixel.
fn field(image: &RgbImage, key: Key, power: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let n = w.max(h).next_power_of_two().max(8);
    let waves = |i: usize| (if i < n / 2 { i as f32 } else { i as f32 - n as f32 }) / n as f32;
    let mut spectrum = vec![[0.; 2]; n * n];
    spectrum.par_chunks_mut(n).enumerate().for_each(|(y, line)| {
        let row = key.row(y as u32);
        for (x, value) in line.iter_mut().enumerate() {
            let strength = if x + y == 0 { 0. } else { power(waves(x).hypot(waves(y))) };
            let (sin, cos) = (TAU * row.uniform(x as u32)).sin_cos();
            *value = [strength * cos, strength * sin];
        }
    });
    let turned = transform_lines(spectrum, n);
    let done = transform_lines(turned, n);
    let plane: Vec<f32> = done.chunks(n).take(h).flat_map(|line| line[..w].iter().map(|v| v[0])).collect();
    let count = plane.len() as f64;
    let mean = plane.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = plane.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1. / variance.sqrt().max(1e-20);
    plane.into_iter().map(|v| ((f64::from(v) - mean) * scale) as f32).collect()
}

/// Every line of a square transformed (without scaling), the square transposed.
fn transform_lines(mut square: Vec<[f32; 2]>, n: usize) -> Vec<[f32; 2]> {
    let turns: Vec<[f32; 2]> =
        (0..n / 2).map(|k| (TAU * k as f32 / n as f32).sin_cos()).map(|(s, c)| [c, s]).collect();
    square.par_chunks_mut(n).for_each(|line| fourier(line, &turns));
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
