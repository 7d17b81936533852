//! One sine wave over the picture, and rings of them.

use super::{key, pixels, published};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::each;
use crate::math::{angle_of, length, sine};
use image::RgbImage;
use std::f32::consts::{PI, TAU};

pub(crate) const SINGLE_FREQUENCY: Entry = Entry {
    name: "single_frequency_greyscale",
    summary: "one grey sine wave of any direction and length over the picture (ImageNet-C-bar)",
    random: true,
    render: single_frequency,
    kernels: crate::device::cbar::single_frequency,
};

pub(crate) const CONCENTRIC: Entry = Entry {
    name: "cocentric_sine_waves",
    summary: "wavy grey rings about a point (ImageNet-C-bar; its spelling)",
    random: true,
    render: concentric,
    kernels: crate::device::cbar::concentric,
};

/// The wave: radians a pixel along the row and down, where it begins, and how many greys it adds.
pub(crate) struct Wave {
    pub(crate) along: f32,
    pub(crate) down: f32,
    pub(crate) phase: f32,
    pub(crate) intensity: f32,
}

impl Wave {
    pub(crate) fn of(dose: &Dose) -> Self {
        let key = key(dose, SINGLE_FREQUENCY.name);
        let major = key.between(0, -PI, PI);
        let minor = key.between(1, -major.abs(), major.abs());
        let [along, down] = if key.draw(2) < 0.5 { [major, minor] } else { [minor, major] };
        let intensity = 19.6 * published(dose, [1., 1.5, 2., 4.5, 5.]);
        Self { along: along / dose.pixel, down: down / dose.pixel, phase: key.between(3, 0., TAU), intensity }
    }
}

fn single_frequency(image: &RgbImage, dose: &Dose) -> RgbImage {
    let Wave { along, down, phase, intensity } = Wave::of(dose);
    pixels(image, |x, y, v| {
        let wave = intensity * sine(x * along + y * down + phase);
        each(v, |v| v + wave)
    })
}

/// The rings: their middle, how often and how far they wave, how wide one is, and how many greys they add.
pub(crate) struct Rings {
    pub(crate) middle: [f32; 2],
    pub(crate) lobes: f32,
    pub(crate) depth: f32,
    pub(crate) width: f32,
    pub(crate) intensity: f32,
}

impl Rings {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize)) -> Self {
        let (key, side) = (key(dose, CONCENTRIC.name), w.min(h) as f32);
        Self {
            middle: [key.between(0, 0., w as f32), key.between(1, 0., h as f32)],
            lobes: key.between(2, 0., 10.),
            depth: key.between(3, 0., side / 10.),
            // The published width may be zero, which has no rings.
            width: key.between(4, 0., side / 10.).max(0.05),
            intensity: 12.8 * published(dose, [3., 5., 8., 9., 10.]),
        }
    }
}

fn concentric(image: &RgbImage, dose: &Dose) -> RgbImage {
    let size = (image.width() as usize, image.height() as usize);
    let Rings { middle, lobes, depth, width, intensity } = Rings::of(dose, size);
    pixels(image, |x, y, v| {
        let (dx, dy) = (x - middle[0], y - middle[1]);
        let rings = (length(dx, dy) + sine(angle_of(dx, dy) * lobes) * depth) / width;
        let wave = intensity * (rings - rings.floor() - 0.5);
        each(v, |v| v + wave)
    })
}
