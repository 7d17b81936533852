//! Fog: clouds added, the whole drawn back into the picture's range.

use super::plasma;
use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, rows};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const FOG: Entry = Entry {
    name: "fog",
    summary: "plasma clouds over the picture, as wide as it is (imagecorruptions)",
    random: true,
    render: |image, dose| fog(image, &Clouds::of(dose, (image.width() as usize, image.height() as usize))),
    kernels: crate::device::weather::fog,
};

pub(crate) const FOG_HENDRYCKS: Entry = Entry {
    name: "fog_hendrycks",
    summary: "plasma clouds of 256 places, 224 of them over the longer side, as ImageNet-C itself",
    random: true,
    render: |image, dose| {
        fog(image, &Clouds::of_256(dose, (image.width() as usize, image.height() as usize)))
    },
    kernels: crate::device::weather::fog_hendrycks,
};

/// What the fog of a picture is.
pub(crate) struct Clouds {
    pub(crate) key: Key,
    pub(crate) amount: f32,
    /// How fast the clouds' roughness falls off.
    pub(crate) decay: f32,
    /// The side of the square of clouds.
    pub(crate) side: usize,
    /// How many of its places a pixel is wide.
    pub(crate) step: f32,
}

impl Clouds {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize)) -> Self {
        Self {
            key: Key::new(dose.seed, FOG.name),
            amount: dose.severity.constant(0., [1.5, 2., 2.5, 2.5, 3.]),
            decay: dose.severity.constant(2., [2., 2., 1.7, 1.5, 1.4]),
            side: w.max(h).next_power_of_two().max(4),
            step: 1.,
        }
    }

    /// ImageNet-C's pictures are all 224 pixels wide and its clouds 256; others get theirs enlarged.
    pub(crate) fn of_256(dose: &Dose, (w, h): (usize, usize)) -> Self {
        Self { side: 256, step: 224. / w.max(h) as f32, ..Self::of(dose, (w, h)) }
    }
}

fn fog(image: &RgbImage, clouds: &Clouds) -> RgbImage {
    let Clouds { key, amount, decay, side, step } = *clouds;
    let (w, grid) = (image.width() as usize, plasma(side, decay, key));
    let brightest = image.par_chunks(1 << 16).map(|part| part.iter().copied().max().unwrap_or(0)).max();
    let brightest = f32::from(brightest.unwrap_or(0)) / 255.;
    let scale = brightest / (brightest + amount).max(f32::MIN_POSITIVE);
    let columns: Vec<_> = (0..w).map(|x| stretched(x, step, side)).collect();
    rows!(image, |y, from, to| {
        let y = y as usize;
        let (mut between, mut line) = (Vec::new(), &grid[y.min(side - 1) * side..][..side]);
        if step != 1. {
            let (above, below, part) = stretched(y, step, side);
            let row = |y: usize| &grid[y * side..][..side];
            let mix = |a: f32, b: f32, part: f32| a + (b - a) * part;
            let down: Vec<f32> = row(above).iter().zip(row(below)).map(|(a, b)| mix(*a, *b, part)).collect();
            between.extend(columns.iter().map(|(a, b, part)| mix(down[*a], down[*b], *part)));
            line = &between;
        }
        for ((t, f), cloud) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(line) {
            *t = each(*f, |v| byte((f32::from(v) + 255. * amount * cloud) * scale));
        }
    })
}

/// The two places that a pixel lies between and the second one's weight.
fn stretched(i: usize, step: f32, side: usize) -> (usize, usize, f32) {
    let place = i as f32 * step;
    let at = (place as usize).min(side - 1);
    (at, (at + 1).min(side - 1), place - at as f32)
}
