//! Perlin's turbulence.

use super::{key, pixels, published};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::each;
use crate::math::length;
use crate::random::{Key, Row};
use image::RgbImage;

pub(crate) const PERLIN: Entry = Entry {
    name: "perlin_noise",
    summary: "grey turbulence of five octaves mixed in (ImageNet-C-bar)",
    random: true,
    render: perlin,
    kernels: crate::device::cbar::perlin,
};

/// The side of a lattice's cell, how much of the turbulence is mixed in, and its gradients' random numbers.
pub(crate) fn perlin_parts(dose: &Dose, (w, h): (usize, usize)) -> (f32, f32, Key) {
    let cell = 32. * w.min(h) as f32 / 224.;
    (cell, 0.05 * published(dose, [4.6, 5.2, 5.8, 7.6, 8.8]), key(dose, PERLIN.name))
}

/// The lattice repeats after so many cells.
pub(crate) const PERIOD: usize = 256;

/// The direction of each point of the lattice, a row after the other.
pub(crate) fn gradients(key: Key) -> Vec<[f32; 2]> {
    let one = |row: Row, column: u32| {
        let [x, y] = [2 * column, 2 * column + 1].map(|i| 2. * row.uniform(i) - 1.);
        let length = length(x, y).max(1e-6);
        [x / length, y / length]
    };
    let row = |y: u32| (0..PERIOD as u32).map(move |x| one(key.row(y), x));
    (0..PERIOD as u32).flat_map(row).collect()
}

fn perlin(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (cell, alpha, key) = perlin_parts(dose, (image.width() as usize, image.height() as usize));
    let gradients = gradients(key);
    pixels(image, |x, y, v| {
        let mut turbulence = 0.;
        for octave in 0..5 {
            let f = (1 << octave) as f32;
            turbulence += gradient_noise(&gradients, x / cell * f, y / cell * f).abs() / f;
        }
        let grey = 255. * alpha * (0.5 * turbulence + 0.5).clamp(0., 1.);
        each(v, |v| (1. - alpha) * v + grey)
    })
}

/// Gradient noise at a place of the lattice.
#[inline(always)]
fn gradient_noise(gradients: &[[f32; 2]], x: f32, y: f32) -> f32 {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let (left, top) = (left as usize, top as usize);
    let corner = |dx: usize, dy: usize| {
        let [gx, gy] = gradients[(top + dy) % PERIOD * PERIOD + (left + dx) % PERIOD];
        (fx - dx as f32) * gx + (fy - dy as f32) * gy
    };
    let smooth = |t: f32| t * t * (3. - 2. * t);
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let top = mix(corner(0, 0), corner(1, 0), smooth(fx));
    1.5 * mix(top, mix(corner(0, 1), corner(1, 1), smooth(fx)), smooth(fy))
}
