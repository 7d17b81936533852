//! Pillow's resizing with its `BOX` filter.

use crate::fast::rows;
use image::RgbImage;

/// Where a target pixel reads: its first source pixel, how many, and the weight of each (22 bits of fraction).
struct Taps {
    first: usize,
    count: usize,
    weight: u32,
}

/// The image resized to `w` x `h` as `Image.resize((w, h), BOX)` does: along the rows and then down the columns,
/// rounded to a byte after each.
pub(crate) fn box_resize(image: &RgbImage, w: u32, h: u32) -> RgbImage {
    let columns = taps(image.width(), w);
    let lines = taps(image.height(), h);
    let stride = 3 * image.width() as usize;
    rows!(&RgbImage::new(w, h), |y, _, to| {
        let line = &lines[y as usize];
        let mut sum = vec![1u32 << 21; to.len()];
        for y in line.first..line.first + line.count {
            let row = &image.as_raw()[y * stride..][..stride];
            for (s, tap) in sum.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
                let narrow = across(&row[3 * tap.first..][..3 * tap.count], tap.weight);
                (0..3).for_each(|c| s[c] += narrow[c] * line.weight);
            }
        }
        for (t, s) in to.iter_mut().zip(&sum) {
            *t = (s >> 22) as u8;
        }
    })
}

#[inline(always)]
fn across(pixels: &[u8], weight: u32) -> [u32; 3] {
    let mut sum = [0u32; 3];
    for p in pixels.as_chunks::<3>().0 {
        (0..3).for_each(|c| sum[c] += u32::from(p[c]));
    }
    sum.map(|s| (s * weight + (1 << 21)) >> 22)
}

/// The first source pixel, the count and the weight for each target pixel, as a kernel on a device has them.
pub(crate) fn box_taps(from: u32, to: u32) -> Vec<[i32; 3]> {
    taps(from, to).iter().map(|t| [t.first as i32, t.count as i32, t.weight as i32]).collect()
}

/// A tap is in when its centre is within half a target pixel (half a source pixel where that is larger); all that are in
/// weigh the same.
fn taps(from: u32, to: u32) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let reach = scale.max(1.);
    let one = |i: u32| {
        let centre = (f64::from(i) + 0.5) * scale;
        // Ties are decided by the rounding of this very product.
        let inside = |x: &u32| {
            let t = (f64::from(*x) - centre + 0.5) * (1. / reach);
            t > -0.5 && t <= 0.5
        };
        let low = ((centre - 0.5 * reach + 0.5) as u32).min(from - 1);
        let high = ((centre + 0.5 * reach + 0.5) as u32).clamp(low + 1, from);
        let count = (low..high).filter(inside).count().max(1);
        let first = (low..high).find(inside).unwrap_or(low) as usize;
        Taps { first, count, weight: (f64::from(1 << 22) / count as f64 + 0.5) as u32 }
    };
    (0..to).map(one).collect()
}
