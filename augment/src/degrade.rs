//! The degradations that Q-Hawkeye's training pairs are made with. Its scripts know two strengths: the first stage's
//! (noise 45, blur 2, JPEG of quality 5, light 0.6) and, for a second type on top, the second's (65, 4, 5, 0.5); the
//! five levels here run through both.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, lookup};
use crate::filter::{Border, Kernel, blur_rows};
use crate::noise::normal;
use crate::random::Key;
use image::RgbImage;

pub(crate) const NOISE: Entry = Entry {
    name: "hawkeye_noise",
    summary: "Gaussian noise of deviation 15 to 65 greys (Q-Hawkeye: 45 is level 3, 65 level 5)",
    random: true,
    render: |image, dose| noise(image, dose, noise_sigma(dose)),
    kernels: crate::device::degrade::noise,
};

pub(crate) const BLUR: Entry = Entry {
    name: "hawkeye_blur",
    summary: "a Gaussian blur of 1 to 4 pixels (Q-Hawkeye: 2 is level 3, 4 level 5)",
    random: false,
    render: |image, dose| blur(image, dose, blur_sigma(dose)),
    kernels: crate::device::degrade::blur,
};

pub(crate) const JPEG: Entry = Entry {
    name: "hawkeye_jpeg",
    summary: "JPEG written and read three times, of quality 40 to 5 (Q-Hawkeye: 40 is level 1, 5 level 5)",
    random: false,
    render: |image, dose| jpeg(image, jpeg_quality(dose)),
    kernels: crate::device::degrade::jpeg,
};

pub(crate) const DARKEN: Entry = Entry {
    name: "hawkeye_darken",
    summary: "the light cut to 0.9 to 0.5 (Q-Hawkeye: 0.6 is level 4, 0.5 level 5)",
    random: false,
    render: |image, dose| darken(image, darken_factor(dose)),
    kernels: crate::device::degrade::darken,
};

pub(crate) const TWO_STAGES: Entry = Entry {
    name: "hawkeye_two_stages",
    summary: "two different ones of noise, blur, JPEG and darkening, the second stronger (Q-Hawkeye's fourth stage)",
    random: true,
    render: two_stages,
    kernels: crate::device::degrade::two_stages,
};

fn noise(image: &RgbImage, dose: &Dose, sigma: f32) -> RgbImage {
    normal(image, dose, NOISE.name, |v, n| v + sigma * n)
}

fn blur(image: &RgbImage, dose: &Dose, sigma: f32) -> RgbImage {
    blur_rows(image, &Kernel::gaussian(sigma * dose.pixel, 4.), Border::Edge)
}

fn jpeg(image: &RgbImage, quality: u32) -> RgbImage {
    let once = |image: &RgbImage| crate::digital::compress(image, quality);
    once(&once(&once(image)))
}

fn darken(image: &RgbImage, factor: f32) -> RgbImage {
    lookup(image, &[darken_table(factor); 3])
}

/// In greys.
pub(crate) fn noise_sigma(dose: &Dose) -> f32 {
    dose.severity.constant(0., [15., 25., 45., 55., 65.])
}

/// In pixels of the constants.
pub(crate) fn blur_sigma(dose: &Dose) -> f32 {
    dose.severity.constant(0., [1., 1.5, 2., 3., 4.])
}

pub(crate) fn jpeg_quality(dose: &Dose) -> u32 {
    dose.severity.constant(100., [40., 25., 15., 10., 5.]).round() as u32
}

/// What is left of the light.
pub(crate) fn darken_factor(dose: &Dose) -> f32 {
    dose.severity.constant(1., [0.9, 0.8, 0.7, 0.6, 0.5])
}

pub(crate) fn darken_table(factor: f32) -> [u8; 256] {
    std::array::from_fn(|v| byte(v as f32 * factor + 0.001))
}

/// One of two degradations: greys, pixels of the constants, a quality, a share of the light.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    Noise(f32),
    Blur(f32),
    Jpeg(u32),
    Darken(f32),
}

/// The two stages that a seed draws.
pub(crate) fn stages(dose: &Dose) -> [Stage; 2] {
    let key = Key::new(dose.seed, TWO_STAGES.name);
    let first = key.pick(0, 4);
    let second = (first + 1 + key.pick(1, 3)) % 4;
    let stage = |kind: u32, level_5: [f32; 4]| {
        let part = |nothing: f32, at_5: f32| nothing + (at_5 - nothing) * dose.severity.share();
        match kind {
            0 => Stage::Noise(part(0., level_5[0])),
            1 => Stage::Blur(part(0., level_5[1])),
            2 => Stage::Jpeg(part(60., level_5[2]).round() as u32),
            _ => Stage::Darken(part(1., level_5[3])),
        }
    };
    [stage(first, [45., 2., 5., 0.6]), stage(second, [65., 4., 5., 0.5])]
}

fn two_stages(image: &RgbImage, dose: &Dose) -> RgbImage {
    stages(dose).into_iter().fold(image.clone(), |image, stage| match stage {
        Stage::Noise(sigma) => noise(&image, dose, sigma),
        Stage::Blur(sigma) => blur(&image, dose, sigma),
        Stage::Jpeg(quality) => jpeg(&image, quality),
        Stage::Darken(factor) => darken(&image, factor),
    })
}
