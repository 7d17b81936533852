//! The picture seen through rippled water.

use super::{key, published};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, rows, wide};
use crate::filter::{Border, Kernel, bilinear, blur_plane};
use crate::math::{cosine, length, power, sine};
use image::RgbImage;
use rayon::prelude::*;
use std::f32::consts::TAU;

pub(crate) const CAUSTIC_REFRACTION: Entry = Entry {
    name: "caustic_refraction",
    summary: "the picture bent and lit by rippled water (ImageNet-C-bar)",
    random: true,
    render: refraction,
    kernels: crate::device::cbar::caustic,
};

/// Glass of this refractive index makes the waves.
pub(crate) const INDEX: f32 = 4.;

/// The ripples: when, how many pixels a tile of them is, how far they bend and by how many greys they light.
pub(crate) struct Ripples {
    pub(crate) time: f32,
    pub(crate) size: f32,
    pub(crate) lens: f32,
    pub(crate) light: f32,
    pub(crate) soft: Kernel,
}

impl Ripples {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize)) -> Self {
        let (key, side) = (key(dose, CAUSTIC_REFRACTION.name), w.min(h) as f32);
        let level = published(dose, [2.35, 3.2, 4.9, 6.6, 9.15]);
        Self {
            time: key.between(0, 0.5, 2.),
            size: key.between(1, 0.75, 1.25) * side,
            lens: 0.05 * level * side,
            light: 0.2 * 255. * level,
            soft: Kernel::gaussian(1., 4.),
        }
    }
}

fn refraction(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let Ripples { time, size, lens, light, soft } = Ripples::of(dose, (w, h));
    let mut ripples = vec![0.; w * h];
    ripples.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
        wide!({
            let places = to.iter_mut().enumerate();
            places.for_each(|(x, t)| *t = caustics(y as f32 / size, x as f32 / size, time));
        });
    });
    let ripples = blur_plane(&ripples, w, (&soft, &soft), Border::Mirror);
    let height = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && x < w as i64 && y < h as i64;
        if inside { ripples[y as usize * w + x as usize] } else { 0. }
    };
    rows!(image, |y, _, to| {
        for (x, t) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (column, line) = (x as i64, i64::from(y));
            // The published names of the sides are turned: its first axis runs down.
            let down = height(column, line + 1) - height(column, line - 1);
            let right = height(column + 1, line) - height(column - 1, line);
            let [dy, dx] = bent(down, right, lens);
            let lit = light * (down - right);
            *t = each(bilinear(image, (x as f32 + dx, y as f32 + dy), 0.), |v| byte(v + lit));
        }
    })
}

/// The brightness of light under waves at a place of a tile.
#[inline(always)]
fn caustics(a: f32, b: f32, time: f32) -> f32 {
    let p = each([a, b], |v| (v - v.floor()) * TAU - 250.);
    let (mut i, mut c) = (p, 1f32);
    for n in 0..5u8 {
        let t = time * (1. - 3.5 / f32::from(n + 1));
        i = [p[0] + cosine(t - i[0]) + sine(t + i[1]), p[1] + sine(t - i[1]) + cosine(t + i[0])];
        c += 1. / length(p[0] * 0.005 / sine(i[0] + t), p[1] * 0.005 / cosine(i[1] + t));
    }
    let dark = 1.17 - power(c / 5., 1.4);
    let second = dark * dark;
    let fourth = second * second;
    (fourth * fourth).clamp(0., 1.)
}

/// How far a ray straight down is bent by a slope, in pixels along each axis.
#[inline(always)]
fn bent(a: f32, b: f32, lens: f32) -> [f32; 2] {
    let upright = 1. / (a * a + b * b + 1.).sqrt();
    if upright >= 1. - 1e-3 {
        return [0.; 2];
    }
    let normal = [a * upright, b * upright];
    // The sine of the slope, over the index that of the bent ray: its part across the normal, and the part along it.
    let across = (1. - upright * upright).sqrt() / INDEX;
    let along = (1. - across * across).sqrt();
    let flat = length(normal[0], normal[1]).max(1e-9);
    let reach = lens * (along * flat - across * upright);
    [reach * normal[0] / flat, reach * normal[1] / flat]
}
