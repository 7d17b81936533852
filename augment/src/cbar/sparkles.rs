//! Stars with rays, and darkness with a star cut out of it.

use super::{key, pixels, published, side};
use crate::Dose;
use crate::entry::Entry;
use crate::random::Key;
use image::RgbImage;
use std::f32::consts::{PI, TAU};

pub(crate) const SPARKLES: Entry = Entry {
    name: "sparkles",
    summary: "five white stars with many rays (ImageNet-C-bar)",
    random: true,
    render: sparkles,
};

pub(crate) const INVERSE_SPARKLES: Entry = Entry {
    name: "inverse_sparkles",
    summary: "the picture seen through one star, white beyond its rays (ImageNet-C-bar)",
    random: true,
    render: inverse,
};

/// A star: its middle and the lengths of its rays.
struct Star {
    x: f32,
    y: f32,
    rays: Vec<f32>,
}

impl Star {
    /// 50 to 199 rays, their lengths normal about `radius` with a quarter of it as deviation.
    fn new((x, y): (f32, f32), radius: f32, least: f32, key: Key, number: u32) -> Self {
        let count = 50 + key.pick(16 + number, 150);
        let mut normals = vec![0.; count as usize];
        key.row(number).normals(&mut normals);
        Self { x, y, rays: normals.iter().map(|n| (radius + 0.25 * radius * n).max(least)).collect() }
    }

    /// How bright the star is at a place, 0 to 1; `power` is how fast it falls off.
    fn light(&self, x: f32, y: f32, power: f32) -> f32 {
        let (dx, dy) = (x - self.x, y - self.y);
        let place = (dx.atan2(dy) + PI) / TAU * self.rays.len() as f32;
        let (ray, part) = (place as usize, place.fract());
        let ray_at = |i: usize| self.rays[i % self.rays.len()];
        let length = ray_at(ray) + part * (ray_at(ray + 1) - ray_at(ray));
        let near = (length * length / (dx * dx + dy * dy + 1e-4)).powf(power);
        ((1. - (part - 0.5) * (part - 0.5)) * near).clamp(0., 1.)
    }
}

fn sparkles(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = key(dose, SPARKLES.name);
    let radius = 0.01 * published(dose, [1., 2., 3., 5., 6.]) * side(image);
    let star = |i: u32| {
        let x = key.between(2 * i, 0., image.width() as f32);
        Star::new((x, key.between(2 * i + 1, 0., image.height() as f32)), radius, 1., key, i)
    };
    let stars = [0, 1, 2, 3, 4].map(star);
    pixels(image, |x, y, v| {
        stars.iter().fold(v, |v, star| {
            let light = star.light(x, y, 1.);
            v.map(|v| v + light * (255. - v))
        })
    })
}

fn inverse(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = key(dose, INVERSE_SPARKLES.name);
    let radius = 0.25 * side(image);
    let x = key.between(0, 0.25, 0.75) * image.width() as f32;
    let star = Star::new((x, key.between(1, 0.25, 0.75) * image.height() as f32), radius, 0., key, 0);
    let power = 6.5 * published(dose, [1., 2., 4., 9., 10.]) / 50.;
    pixels(image, |x, y, v| {
        let light = star.light(x, y, power);
        v.map(|v| 255. + light * (v - 255.))
    })
}
