//! The ten corruptions of ImageNet-C-bar (Mintun, Kirillov and Xie 2021), chosen to be unlike ImageNet-C's. Its code
//! works on squares of 224 pixels; here lengths that go by the picture's side go by the shorter one, and what fills
//! the square fills the picture. Severities are the published ones of its ImageNet set.

use crate::fast::{byte, each, rows};
use crate::{Dose, random::Key};
use image::RgbImage;

pub(crate) mod caustic;
pub(crate) mod cutout;
pub(crate) mod perlin;
pub(crate) mod plasma;
pub(crate) mod sparkles;
pub(crate) mod spectral;
pub(crate) mod waves;

pub(crate) use caustic::CAUSTIC_REFRACTION;
pub(crate) use cutout::CHECKERBOARD;
pub(crate) use perlin::PERLIN;
pub(crate) use plasma::PLASMA;
pub(crate) use sparkles::{INVERSE_SPARKLES, SPARKLES};
pub(crate) use spectral::{BLUE_SAMPLE, BROWNISH};
pub(crate) use waves::{CONCENTRIC, SINGLE_FREQUENCY};

/// The published severity, a number of 0 to 10, that stands for the level.
fn published(dose: &Dose, levels: [f32; 5]) -> f32 {
    dose.severity.constant(0., levels)
}

/// Draws of a corruption, in an order of their own.
fn key(dose: &Dose, name: &str) -> Key {
    Key::new(dose.seed, name)
}

/// Each pixel as `f(x, y, its three greys)`.
#[inline(always)]
fn pixels(image: &RgbImage, f: impl Fn(f32, f32, [f32; 3]) -> [f32; 3] + Sync) -> RgbImage {
    rows!(image, |y, from, to| {
        let pixels = to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0);
        for (x, (t, v)) in pixels.enumerate() {
            *t = each(f(x as f32, y as f32, each(*v, f32::from)), byte);
        }
    })
}
