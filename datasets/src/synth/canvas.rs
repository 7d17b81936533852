//! Textured backgrounds and anti-aliased filled figures.

use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Sub-pixels along one side when a figure's edge is averaged.
const SUB: u32 = 3;

/// A dull, uneven background: a tint, blotches of about an eighth of the image, and grain.
pub(crate) fn texture(rng: &mut ChaCha8Rng, width: u32, height: u32) -> RgbImage {
    let base: f32 = rng.random_range(70.0..150.0);
    let tint: [f32; 3] = std::array::from_fn(|_| rng.random_range(-12.0..12.0));
    let cell = (width.max(height) as f32 / 8.).max(1.);
    let columns = (width as f32 / cell) as usize + 2;
    let rows = (height as f32 / cell) as usize + 2;
    let blotch: Vec<f32> = (0..columns * rows).map(|_| rng.random_range(-22.0..22.0)).collect();
    let mut grain = vec![0; (width * height) as usize];
    rng.fill_bytes(&mut grain);
    RgbImage::from_fn(width, height, |x, y| {
        let (fx, fy) = (x as f32 / cell, y as f32 / cell);
        let (i, j) = (fx as usize, fy as usize);
        let (u, v) = (fx.fract(), fy.fract());
        let row = |j: usize| blotch[j * columns + i] * (1. - u) + blotch[j * columns + i + 1] * u;
        let grain = (f32::from(grain[(y * width + x) as usize]) - 127.5) / 127.5 * 9.;
        let level = base + row(j) * (1. - v) + row(j + 1) * v + grain;
        Rgb(tint.map(|t| (level + t) as u8))
    })
}

/// Paints `colour` where `inside(dx, dy)` holds, `dx, dy` in units of `radius` from the centre, edges averaged.
pub(crate) fn fill(
    image: &mut RgbImage,
    (cx, cy): (f32, f32),
    radius: f32,
    colour: [u8; 3],
    inside: impl Fn(f32, f32) -> bool,
) {
    let low = |c: f32| (c - radius).floor().max(0.) as u32;
    let high = |c: f32, side: u32| ((c + radius).ceil().max(0.) as u32).min(side);
    for y in low(cy)..high(cy, image.height()) {
        for x in low(cx)..high(cx, image.width()) {
            let hits = (0..SUB * SUB)
                .filter(|k| {
                    let sub = |i: u32| (i as f32 + 0.5) / SUB as f32;
                    let (px, py) = (x as f32 + sub(k % SUB), y as f32 + sub(k / SUB));
                    inside((px - cx) / radius, (py - cy) / radius)
                })
                .count();
            let weight = hits as f32 / (SUB * SUB) as f32;
            let pixel = image.get_pixel_mut(x, y);
            for (old, new) in pixel.0.iter_mut().zip(colour) {
                *old = (f32::from(*old) * (1. - weight) + f32::from(new) * weight).round() as u8;
            }
        }
    }
}
