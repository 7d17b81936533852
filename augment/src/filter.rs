//! Linear filters over images: separable kernels and Pillow's box reduction.

use crate::fast::{byte, rows};
use image::RgbImage;

/// What stands outside the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Border {
    /// The nearest pixel of the edge (`nearest`, `replicate`).
    Edge,
}

impl Border {
    /// The place in `0..n` that stands for `i`.
    #[inline(always)]
    pub(crate) fn at(self, i: i64, n: usize) -> usize {
        match self {
            Self::Edge => i.clamp(0, n as i64 - 1) as usize,
        }
    }
}

/// Half of a normalised Gaussian, from its centre outwards, cut at `truncate` standard deviations as scipy does.
pub(crate) fn gaussian_kernel(sigma: f32, truncate: f32) -> Vec<f32> {
    let (sigma, truncate) = (f64::from(sigma), f64::from(truncate));
    let radius = (truncate * sigma + 0.5) as usize;
    let bell: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum = 2. * bell.iter().sum::<f64>() - bell[0];
    bell.iter().map(|b| (b / sum) as f32).collect()
}

/// `image` filtered by a symmetric kernel, given from its centre outwards, down the columns and along the rows.
pub(crate) fn separable(image: &RgbImage, half: &[f32], border: Border) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let (stride, radius) = (3 * w, half.len() - 1);
    rows(image, |y, _, to| {
        let row = |d: i64| &image.as_raw()[border.at(i64::from(y) + d, h) * stride..][..stride];
        let mut pad = vec![0.; stride + 6 * radius];
        let middle = &mut pad[3 * radius..][..stride];
        for (m, p) in middle.iter_mut().zip(row(0)) {
            *m = half[0] * f32::from(*p);
        }
        for (d, k) in half.iter().enumerate().skip(1) {
            for ((m, a), b) in middle.iter_mut().zip(row(d as i64)).zip(row(-(d as i64))) {
                *m += k * f32::from(u16::from(*a) + u16::from(*b));
            }
        }
        extend(&mut pad, w, radius, border);
        let mut sum: Vec<f32> = pad[3 * radius..][..stride].iter().map(|p| half[0] * p).collect();
        for (d, k) in half.iter().enumerate().skip(1) {
            let (left, right) = (&pad[3 * (radius - d)..], &pad[3 * (radius + d)..]);
            for ((s, a), b) in sum.iter_mut().zip(left).zip(right) {
                *s += k * (a + b);
            }
        }
        for (t, s) in to.iter_mut().zip(&sum) {
            // Half a thousandth of a level up: sums of weights a hair below one must not cut a level off.
            *t = byte(s + 0.0005);
        }
    })
}

/// Fills the `radius` pixels before and after the `w` that stand in the middle of `pad`.
#[inline(always)]
fn extend(pad: &mut [f32], w: usize, radius: usize, border: Border) {
    for i in (0..radius).chain(radius + w..2 * radius + w) {
        let from = radius + border.at(i as i64 - radius as i64, w);
        pad.copy_within(3 * from..3 * from + 3, 3 * i);
    }
}

/// The image shrunk to `w` x `h` with Pillow's `BOX` filter and its fixed-point rounding after each pass.
pub(crate) fn box_shrink(image: &RgbImage, w: u32, h: u32) -> RgbImage {
    let columns = box_taps(image.width(), w);
    let lines = box_taps(image.height(), h);
    let stride = 3 * image.width() as usize;
    let out = RgbImage::new(w, h);
    rows(&out, |y, _, to| {
        let (top, weight) = (lines[y as usize].0, lines[y as usize].1);
        let count = lines[y as usize].2;
        let mut narrow = vec![0u32; to.len()];
        for line in top..top + count {
            let row = &image.as_raw()[line * stride..][..stride];
            for (n, &(left, weight, count)) in narrow.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
                let mut sum = [1u32 << 21; 3];
                for p in row[3 * left..3 * (left + count)].as_chunks::<3>().0 {
                    (0..3).for_each(|c| sum[c] += u32::from(p[c]) * weight);
                }
                (0..3).for_each(|c| n[c] += sum[c] >> 22);
            }
        }
        for (t, n) in to.iter_mut().zip(&narrow) {
            *t = ((n * weight + (1 << 21)) >> 22) as u8;
        }
    })
}

/// For each target pixel: its first source pixel, the weight of each (22 bits of fraction) and how many.
fn box_taps(from: u32, to: u32) -> Vec<(usize, u32, usize)> {
    let scale = f64::from(from) / f64::from(to);
    (0..to)
        .map(|i| {
            let centre = (f64::from(i) + 0.5) * scale;
            let low = ((centre - 0.5 * scale + 0.5) as u32).min(from - 1);
            let high = ((centre + 0.5 * scale + 0.5) as u32).clamp(low + 1, from);
            let inside = |x: u32| {
                let t = (f64::from(x) - centre + 0.5) / scale;
                t > -0.5 && t <= 0.5
            };
            let taps: Vec<u32> = (low..high).filter(|&x| inside(x)).collect();
            let count = taps.len().max(1);
            let first = taps.first().copied().unwrap_or(low);
            (first as usize, (f64::from(1 << 22) / count as f64 + 0.5) as u32, count)
        })
        .collect()
}
