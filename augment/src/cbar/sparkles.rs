//! Stars with rays, and darkness with a star cut out of it.

use super::{key, pixels, published};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::each;
use crate::math::{angle_of, power};
use crate::random::Key;
use image::RgbImage;
use std::f32::consts::{PI, TAU};

pub(crate) const SPARKLES: Entry = Entry {
    name: "sparkles",
    summary: "five white stars with many rays (ImageNet-C-bar)",
    random: true,
    render: sparkles,
    kernels: crate::device::cbar::sparkles,
};

pub(crate) const INVERSE_SPARKLES: Entry = Entry {
    name: "inverse_sparkles",
    summary: "the picture seen through one star, white beyond its rays (ImageNet-C-bar)",
    random: true,
    render: inverse,
    kernels: crate::device::cbar::inverse,
};

/// A star: its middle and the lengths of its rays.
pub(crate) struct Star {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) rays: Vec<f32>,
}

impl Star {
    /// 50 to 199 rays, their lengths normal about `radius` with a quarter of it as deviation.
    fn new((x, y): (f32, f32), radius: f32, least: f32, key: Key, number: u32) -> Self {
        let count = 50 + key.pick(16 + number, 150);
        let mut normals = vec![0.; count as usize];
        key.row(number).normals(&mut normals);
        Self { x, y, rays: normals.iter().map(|n| (radius + 0.25 * radius * n).max(least)).collect() }
    }

    /// How bright the star is at a place, 0 to 1; `fall` is how fast it falls off.
    #[inline(always)]
    fn light(&self, x: f32, y: f32, fall: f32) -> f32 {
        let (dx, dy) = (x - self.x, y - self.y);
        let place = (angle_of(dx, dy) + PI) / TAU * self.rays.len() as f32;
        let whole = place.floor();
        let (ray, part) = (whole as usize, place - whole);
        let ray_at = |i: usize| self.rays[i % self.rays.len()];
        let length = ray_at(ray) + part * (ray_at(ray + 1) - ray_at(ray));
        let near = length * length / (dx * dx + dy * dy + 1e-4);
        let near = if fall == 1. { near } else { power(near, fall) };
        ((1. - (part - 0.5) * (part - 0.5)) * near).clamp(0., 1.)
    }
}

/// The five stars of `sparkles`.
pub(crate) fn stars(dose: &Dose, (w, h): (usize, usize)) -> [Star; 5] {
    let key = key(dose, SPARKLES.name);
    let radius = 0.01 * published(dose, [1., 2., 3., 5., 6.]) * w.min(h) as f32;
    let star = |i: u32| {
        let x = key.between(2 * i, 0., w as f32);
        Star::new((x, key.between(2 * i + 1, 0., h as f32)), radius, 1., key, i)
    };
    [0, 1, 2, 3, 4].map(star)
}

fn sparkles(image: &RgbImage, dose: &Dose) -> RgbImage {
    let stars = stars(dose, (image.width() as usize, image.height() as usize));
    pixels(image, |x, y, mut v| {
        for star in &stars {
            let light = star.light(x, y, 1.);
            v = each(v, |v| v + light * (255. - v));
        }
        v
    })
}

/// The star of `inverse_sparkles` and how fast it falls off.
pub(crate) fn dark_star(dose: &Dose, (w, h): (usize, usize)) -> (Star, f32) {
    let key = key(dose, INVERSE_SPARKLES.name);
    let x = key.between(0, 0.25, 0.75) * w as f32;
    let star = Star::new((x, key.between(1, 0.25, 0.75) * h as f32), 0.25 * w.min(h) as f32, 0., key, 0);
    (star, 6.5 * published(dose, [1., 2., 4., 9., 10.]) / 50.)
}

fn inverse(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (star, fall) = dark_star(dose, (image.width() as usize, image.height() as usize));
    pixels(image, |x, y, v| {
        let light = star.light(x, y, fall);
        each(v, |v| 255. + light * (v - 255.))
    })
}
