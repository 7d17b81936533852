//! Perlin's turbulence.

use super::{key, pixels, published, side};
use crate::Dose;
use crate::entry::Entry;
use crate::random::Key;
use image::RgbImage;

pub(crate) const PERLIN: Entry = Entry {
    name: "perlin_noise",
    summary: "grey turbulence of five octaves mixed in (ImageNet-C-bar)",
    random: true,
    render: perlin,
};

fn perlin(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = key(dose, PERLIN.name);
    let cell = 32. * side(image) / 224.;
    let alpha = 0.05 * published(dose, [4.6, 5.2, 5.8, 7.6, 8.8]);
    pixels(image, |x, y, v| {
        let octave =
            |o: u32| gradient_noise(key, x / cell, y / cell, (1 << o) as f32).abs() / (1 << o) as f32;
        let turbulence: f32 = (0..5).map(octave).sum();
        let grey = 255. * alpha * (0.5 * turbulence + 0.5).clamp(0., 1.);
        v.map(|v| (1. - alpha) * v + grey)
    })
}

/// Gradient noise on a lattice that repeats every 256 cells, at `f` times the place.
fn gradient_noise(key: Key, x: f32, y: f32, f: f32) -> f32 {
    let (x, y) = (x * f, y * f);
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let corner = |dx: u32, dy: u32| {
        let row = key.row((top as u32 + dy) & 255);
        let column = (left as u32 + dx) & 255;
        let [gx, gy] = [2 * column, 2 * column + 1].map(|i| 2. * row.uniform(i) - 1.);
        let length = gx.hypot(gy).max(1e-6);
        ((fx - dx as f32) * gx + (fy - dy as f32) * gy) / length
    };
    let smooth = |t: f32| t * t * (3. - 2. * t);
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let top = mix(corner(0, 0), corner(1, 0), smooth(fx));
    1.5 * mix(top, mix(corner(0, 1), corner(1, 1), smooth(fx)), smooth(fy))
}
