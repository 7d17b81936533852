//! What processing and storage do.

use crate::fast::{byte, lookup, rows};
use crate::{Corruption, Dose};
use image::RgbImage;
use rayon::prelude::*;

/// Each channel drawn towards its mean over the picture.
#[derive(Debug)]
pub(crate) struct Contrast;

impl Corruption for Contrast {
    fn name(&self) -> &str {
        "contrast"
    }

    fn summary(&self) -> &str {
        "contrast lowered about each channel's mean (ImageNet-C)"
    }

    fn random(&self) -> bool {
        false
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let keep = f64::from(dose.severity.constant(1., [0.4, 0.3, 0.2, 0.1, 0.05]));
        let means = means(image);
        let table = std::array::from_fn(|c| {
            std::array::from_fn(|v| byte(((v as f64 - means[c]) * keep + means[c]) as f32))
        });
        lookup(image, &table)
    }
}

/// The mean grey value of each channel. Integer sums, so that no order of addition shows.
fn means(image: &RgbImage) -> [f64; 3] {
    let sum = |row: &[u8]| {
        row.as_chunks::<3>().0.iter().fold([0u64; 3], |s, p| std::array::from_fn(|c| s[c] + u64::from(p[c])))
    };
    let add = |a: [u64; 3], b: [u64; 3]| std::array::from_fn(|c| a[c] + b[c]);
    let total = image.par_chunks(3 * 4096).map(sum).reduce(|| [0; 3], add);
    total.map(|s| s as f64 / f64::from(image.width()) / f64::from(image.height()))
}

/// Shrunk with Pillow's box filter and blown up again with the nearest pixel.
#[derive(Debug)]
pub(crate) struct Pixelate;

impl Corruption for Pixelate {
    fn name(&self) -> &str {
        "pixelate"
    }

    fn summary(&self) -> &str {
        "shrunk by Pillow's box filter and enlarged by its nearest pixel (ImageNet-C)"
    }

    fn random(&self) -> bool {
        false
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let keep = f64::from(dose.severity.constant(1., [0.6, 0.5, 0.4, 0.3, 0.25])) / f64::from(dose.pixel);
        // The published constants are decimal; f32's 0.6 times 5 must not fall below 3.
        let side = |n: u32| ((f64::from(n) * keep + 1e-6) as u32).clamp(1, n);
        let small = crate::filter::box_shrink(image, side(image.width()), side(image.height()));
        let (w, stride) = (small.width(), 3 * small.width() as usize);
        let nearest =
            |i: u32, from: u32, to: u32| ((f64::from(i) + 0.5) * f64::from(from) / f64::from(to)) as u32;
        let columns: Vec<usize> =
            (0..image.width()).map(|x| 3 * nearest(x, w, image.width()) as usize).collect();
        rows(image, |y, _, to| {
            let y = nearest(y, small.height(), image.height()) as usize;
            let row = &small.as_raw()[y * stride..][..stride];
            for (t, &x) in to.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
                t.copy_from_slice(&row[x..x + 3]);
            }
        })
    }
}
