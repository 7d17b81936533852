//! Noise of every pixel by itself.

use crate::fast::{byte, rows};
use crate::random::{Key, Row};
use crate::{Corruption, Dose};
use image::RgbImage;

/// The row's normals, one an element, `grain` pixels of the image sharing each draw.
#[inline(always)]
fn normals(row: Row, grain: f32, out: &mut [f32]) {
    row.normals(out);
    if grain > 1. {
        // Backwards, as each target is at or right of what it reads.
        for x in (0..out.len() / 3).rev() {
            let from = (x as f32 / grain) as usize;
            out.copy_within(3 * from..3 * from + 3, 3 * x);
        }
    }
}

/// Each element plus a normal of ImageNet-C's standard deviation.
#[derive(Debug)]
pub(crate) struct Gaussian;

impl Corruption for Gaussian {
    fn name(&self) -> &str {
        "gaussian_noise"
    }

    fn summary(&self) -> &str {
        "sensor noise in low light: a normal deviate added to each channel (ImageNet-C)"
    }

    fn random(&self) -> bool {
        true
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let sigma = 255. * dose.severity.constant(0., [0.08, 0.12, 0.18, 0.26, 0.38]);
        let key = Key::new(dose.seed, self.name());
        rows(image, |y, from, to| {
            let mut n = vec![0.; from.len()];
            normals(key.row((y as f32 / dose.pixel) as u32), dose.pixel, &mut n);
            for ((t, f), n) in to.iter_mut().zip(from).zip(&n) {
                *t = byte(f32::from(*f) + sigma * n);
            }
        })
    }
}
