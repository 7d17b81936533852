//! Noise of every element by itself. The draws stand in a field over (row, element of the row), so that no pixel
//! waits for another.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, rows};
use crate::random::Key;
use image::RgbImage;

mod shot;

pub(crate) use shot::{Counts, SHOT};

pub(crate) const GAUSSIAN: Entry = Entry {
    name: "gaussian_noise",
    summary: "sensor noise in low light: a normal deviate added to each channel (ImageNet-C)",
    random: true,
    render: |image, dose| {
        let sigma = gaussian_sigma(dose);
        normal(image, dose, GAUSSIAN.name, |v, n| v + sigma * n)
    },
    kernels: crate::device::noise::gaussian,
};

pub(crate) const SPECKLE: Entry = Entry {
    name: "speckle_noise",
    summary: "noise in proportion to the light: each channel times one plus a normal (ImageNet-C, validation set)",
    random: true,
    render: |image, dose| {
        let sigma = speckle_sigma(dose);
        normal(image, dose, SPECKLE.name, |v, n| v + v * (sigma * n))
    },
    kernels: crate::device::noise::speckle,
};

pub(crate) const IMPULSE: Entry = Entry {
    name: "impulse_noise",
    summary: "bit errors: each channel of each pixel set to 0 or 255 with a small probability (ImageNet-C)",
    random: true,
    render: impulse,
    kernels: crate::device::noise::impulse,
};

/// In greys.
pub(crate) fn gaussian_sigma(dose: &Dose) -> f32 {
    255. * dose.severity.constant(0., [0.08, 0.12, 0.18, 0.26, 0.38])
}

pub(crate) fn speckle_sigma(dose: &Dose) -> f32 {
    dose.severity.constant(0., [0.15, 0.2, 0.35, 0.45, 0.6])
}

/// Of 2^31 draws, how many hit.
pub(crate) fn impulse_below(dose: &Dose) -> u32 {
    let share = dose.severity.constant(0., [0.03, 0.06, 0.09, 0.17, 0.27]);
    (f64::from(share) * f64::from(1u32 << 31)) as u32
}

/// Each element as `f(value, standard normal)`, all on the 0..255 scale.
pub(crate) fn normal(
    image: &RgbImage,
    dose: &Dose,
    purpose: &str,
    f: impl Fn(f32, f32) -> f32 + Sync,
) -> RgbImage {
    let (key, grain) = (Key::new(dose.seed, purpose), Grain(dose.pixel));
    rows!(image, |y, from, to| {
        let mut n = vec![0.; from.len()];
        key.row(grain.cell(y)).normals(&mut n);
        grain.spread(&mut n);
        for ((t, v), n) in to.iter_mut().zip(from).zip(&n) {
            *t = byte(f(f32::from(*v), *n));
        }
    })
}

fn impulse(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (key, grain) = (Key::new(dose.seed, IMPULSE.name), Grain(dose.pixel));
    // Of 32 bits the upper 31 choose whether, the last one chooses salt or pepper.
    let below = impulse_below(dose);
    rows!(image, |y, from, to| {
        let row = key.row(grain.cell(y));
        if grain.0 <= 1. {
            for (i, (t, v)) in to.iter_mut().zip(from).enumerate() {
                *t = salted(row.bits(i as u32), below, *v);
            }
            return;
        }
        for (i, (t, v)) in to.iter_mut().zip(from).enumerate() {
            *t = salted(row.bits(3 * grain.cell(i as u32 / 3) + i as u32 % 3), below, *v);
        }
    })
}

#[inline(always)]
fn salted(bits: u32, below: u32, value: u8) -> u8 {
    let salt = if bits & 1 == 1 { 255 } else { 0 };
    if bits >> 1 < below { salt } else { value }
}

/// The side of the square of pixels that share a draw (see [`Dose::pixel`]).
#[derive(Clone, Copy)]
pub(crate) struct Grain(pub(crate) f32);

impl Grain {
    /// The square that a row or column is in.
    #[inline(always)]
    pub(crate) fn cell(self, place: u32) -> u32 {
        if self.0 <= 1. { place } else { (place as f32 / self.0) as u32 }
    }

    /// Gives each pixel of a row the three draws of its square.
    #[inline(always)]
    fn spread(self, draws: &mut [f32]) {
        if self.0 <= 1. {
            return;
        }
        // Backwards, as every target is at or right of what it reads.
        for x in (0..draws.len() / 3).rev() {
            let from = 3 * self.cell(x as u32) as usize;
            draws.copy_within(from..from + 3, 3 * x);
        }
    }
}
