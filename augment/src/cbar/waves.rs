//! One sine wave over the picture, and rings of them.

use super::{key, pixels, published, side};
use crate::Dose;
use crate::entry::Entry;
use image::RgbImage;
use std::f32::consts::{PI, TAU};

pub(crate) const SINGLE_FREQUENCY: Entry = Entry {
    name: "single_frequency_greyscale",
    summary: "one grey sine wave of any direction and length over the picture (ImageNet-C-bar)",
    random: true,
    render: single_frequency,
};

pub(crate) const CONCENTRIC: Entry = Entry {
    name: "cocentric_sine_waves",
    summary: "wavy grey rings about a point (ImageNet-C-bar; its spelling)",
    random: true,
    render: concentric,
};

fn single_frequency(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = key(dose, SINGLE_FREQUENCY.name);
    let major = key.between(0, -PI, PI);
    let minor = key.between(1, -major.abs(), major.abs());
    let [fx, fy] = if key.draw(2) < 0.5 { [major, minor] } else { [minor, major] };
    let phase = key.between(3, 0., TAU);
    let intensity = 19.6 * published(dose, [1., 1.5, 2., 4.5, 5.]);
    pixels(image, |x, y, v| {
        let wave = intensity * ((x * fx + y * fy) / dose.pixel + phase).sin();
        v.map(|v| v + wave)
    })
}

fn concentric(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (key, side) = (key(dose, CONCENTRIC.name), side(image));
    let x0 = key.between(0, 0., image.width() as f32);
    let y0 = key.between(1, 0., image.height() as f32);
    let (lobes, depth) = (key.between(2, 0., 10.), key.between(3, 0., side / 10.));
    // The published width may be zero, which has no rings.
    let ring = key.between(4, 0., side / 10.).max(0.05);
    let intensity = 12.8 * published(dose, [3., 5., 8., 9., 10.]);
    pixels(image, |x, y, v| {
        let (dx, dy) = (x - x0, y - y0);
        let distance = dx.hypot(dy) + (dx.atan2(dy) * lobes).sin() * depth;
        let wave = intensity * (distance.rem_euclid(ring) / ring - 0.5);
        v.map(|v| v + wave)
    })
}
