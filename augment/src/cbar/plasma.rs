//! Coloured plasma: sines of sines.

use super::{key, pixels, published};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::made;
use crate::math::{cosine, sine};
use image::RgbImage;
use std::f32::consts::PI;

pub(crate) const PLASMA: Entry = Entry {
    name: "plasma_noise",
    summary: "coloured plasma mixed in (ImageNet-C-bar)",
    random: true,
    render: plasma,
    kernels: crate::device::cbar::plasma,
};

/// What one plasma is.
pub(crate) struct Plasma {
    pub(crate) time: f32,
    pub(crate) rounds: u32,
    pub(crate) sharpness: f32,
    /// Pixels for each of the plasma's own.
    pub(crate) scale: f32,
    /// In greys.
    pub(crate) intensity: f32,
}

impl Plasma {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize)) -> Self {
        let key = key(dose, PLASMA.name);
        Self {
            time: key.between(0, 0., 6. * PI),
            rounds: 4 + key.pick(1, 3),
            sharpness: key.between(2, 0.5, 1.),
            scale: key.between(3, 0.075, 0.2) * w.min(h) as f32,
            intensity: 6.4 * published(dose, [4.75, 7., 8.5, 9.25, 10.]),
        }
    }

    /// Red, green and blue at a place, -1 to 1. (The published code has a phase that is always zero.)
    #[inline(always)]
    fn at(&self, mut x: f32, mut y: f32) -> [f32; 3] {
        let (mut wave, mut slow, mut fade) = (1., 1., 1.);
        for _ in 0..self.rounds {
            let a = cosine(y * wave + self.time / slow) / fade;
            let b = sine(x * wave + self.time / slow) / fade;
            x += a - 0.3 * b;
            y += b + 0.3 * a;
            wave *= 1.93;
            slow *= 1.15;
            fade *= 2.25 - self.sharpness;
        }
        [sine(x - self.time), sine((x + y + sine(self.time)) * 0.5), sine(y + self.time)]
    }
}

fn plasma(image: &RgbImage, dose: &Dose) -> RgbImage {
    let plasma = Plasma::of(dose, (image.width() as usize, image.height() as usize));
    let Plasma { scale, intensity, .. } = plasma;
    pixels(image, |x, y, v| {
        let colour = plasma.at(x / scale, y / scale);
        made(|c| (1. - intensity / 255.) * v[c] + intensity * colour[c])
    })
}
