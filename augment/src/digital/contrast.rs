//! Contrast.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, lookup, made};
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const CONTRAST: Entry = Entry {
    name: "contrast",
    summary: "contrast lowered to 0.4 to 0.05 about each channel's mean (ImageNet-C)",
    random: false,
    render: contrast,
    kernels: crate::device::noise::contrast,
};

/// How much of it is kept.
pub(crate) fn contrast_kept(dose: &Dose) -> f32 {
    dose.severity.constant(1., [0.4, 0.3, 0.2, 0.1, 0.05])
}

fn contrast(image: &RgbImage, dose: &Dose) -> RgbImage {
    let keep = f64::from(contrast_kept(dose));
    let means = means(image);
    let grey = |c: usize, v: usize| ((v as f64 - means[c]) * keep + means[c] + 1e-4) as f32;
    lookup(image, &std::array::from_fn(|c| std::array::from_fn(|v| byte(grey(c, v)))))
}

/// The mean grey value of each channel. Integer sums, so that no order of addition shows.
fn means(image: &RgbImage) -> [f64; 3] {
    let sum = |row: &[u8]| {
        let add = |s: [u32; 3], p: &[u8; 3]| made(|c| s[c] + u32::from(p[c]));
        row.as_chunks::<3>().0.iter().fold([0u32; 3], add).map(u64::from)
    };
    let add = |a: [u64; 3], b: [u64; 3]| std::array::from_fn(|c| a[c] + b[c]);
    let total = image.par_chunks(3 * 4096).map(sum).reduce(|| [0; 3], add);
    total.map(|s| s as f64 / f64::from(image.width()) / f64::from(image.height()))
}
