//! Between RGB and YCbCr, and between full and halved chroma, in libjpeg's fixed point (16 bits of fraction).

use crate::fast::each;
use image::RgbImage;

const HALF: i32 = 1 << 15;

/// Fills a unit's 16 luma rows and 8 rows of each chroma; beyond the picture its last column and row are repeated.
#[inline(always)]
pub(super) fn to_planes(image: &RgbImage, unit: usize, luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
    let columns = luma.len() / 16;
    let (w, h) = (image.width() as usize, image.height() as usize);
    // The last pair of rows that has a row of the picture in it.
    let last = (h - 1) / 2;
    let mut full = vec![[0u8; 2]; 2 * columns];
    let halves = blue.chunks_exact_mut(columns / 2).zip(red.chunks_exact_mut(columns / 2));
    for (i, ((blue, red), luma)) in halves.zip(luma.chunks_exact_mut(2 * columns)).enumerate() {
        let pair = (8 * unit + i).min(last);
        let (above, below) = full.split_at_mut(columns);
        let (first, second) = luma.split_at_mut(columns);
        // A pair past the end repeats its last chroma row, but the picture's last luma row.
        let end = 8 * unit + i > last;
        let rows = [if end { h - 1 } else { 2 * pair }, (2 * pair + 1).min(h - 1)];
        for (y, luma, chroma) in [(rows[0], first, &mut *above), (rows[1], second, &mut *below)] {
            row_to_planes(&image.as_raw()[3 * w * y..][..3 * w], luma, chroma);
        }
        if end {
            // The luma is in place; the chroma must be that of the last pair.
            row_chroma(&image.as_raw()[3 * w * (2 * last)..][..3 * w], above);
            row_chroma(&image.as_raw()[3 * w * (2 * last + 1).min(h - 1)..][..3 * w], below);
        }
        halve(above, below, blue, red);
    }
}

#[inline(always)]
fn row_to_planes(row: &[u8], luma: &mut [u8], chroma: &mut [[u8; 2]]) {
    for (p, l) in row.as_chunks::<3>().0.iter().zip(luma.iter_mut()) {
        let [r, g, b] = each(*p, i32::from);
        *l = ((19595 * r + 38470 * g + 7471 * b + HALF) >> 16) as u8;
    }
    let w = row.len() / 3;
    let last = luma[w - 1];
    luma[w..].fill(last);
    row_chroma(row, chroma);
}

#[inline(always)]
fn row_chroma(row: &[u8], chroma: &mut [[u8; 2]]) {
    for (p, c) in row.as_chunks::<3>().0.iter().zip(chroma.iter_mut()) {
        let [r, g, b] = each(*p, i32::from);
        let centre = (128 << 16) + HALF - 1;
        *c = [
            ((-11059 * r - 21709 * g + 32768 * b + centre) >> 16) as u8,
            ((32768 * r - 27439 * g - 5329 * b + centre) >> 16) as u8,
        ];
    }
    let w = row.len() / 3;
    let last = chroma[w - 1];
    chroma[w..].fill(last);
}

/// The mean of each 2x2; the half is rounded down and up in turn.
#[inline(always)]
fn halve(above: &[[u8; 2]], below: &[[u8; 2]], blue: &mut [u8], red: &mut [u8]) {
    let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (x, ((b, r), (a, c))) in blue.iter_mut().zip(red.iter_mut()).zip(pairs).enumerate() {
        let mean = |i: usize| {
            let sum = u16::from(a[0][i]) + u16::from(a[1][i]) + u16::from(c[0][i]) + u16::from(c[1][i]);
            ((sum + 1 + (x & 1) as u16) >> 2) as u8
        };
        (*b, *r) = (mean(0), mean(1));
    }
}

/// Row `y` of a chroma plane at full size: three parts the nearer sample and one the farther, down and along.
#[inline(always)]
pub(super) fn upsample(plane: &[u8], stride: usize, (w, h): (usize, usize), y: usize, out: &mut [u8]) {
    let (columns, rows) = (w.div_ceil(2), h.div_ceil(2));
    let near = &plane[(y / 2) * stride..][..columns];
    let pairs = out.as_chunks_mut::<2>().0;
    if columns <= 2 {
        // libjpeg smooths no plane this narrow.
        pairs.iter_mut().zip(near).for_each(|(o, n)| *o = [*n; 2]);
        return;
    }
    let other = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(rows - 1) };
    let far = &plane[other * stride..][..columns];
    let sum = |x: usize| 3 * u16::from(near[x]) + u16::from(far[x]);
    let ends = |this: u16, last: u16, next: u16| {
        [((3 * this + last + 8) >> 4) as u8, ((3 * this + next + 7) >> 4) as u8]
    };
    pairs[0] = ends(sum(0), sum(0), sum(1));
    for (x, o) in pairs[..columns - 1].iter_mut().enumerate().skip(1) {
        *o = ends(sum(x), sum(x - 1), sum(x + 1));
    }
    pairs[columns - 1] = ends(sum(columns - 1), sum(columns - 2), sum(columns - 1));
}

#[inline(always)]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], to: &mut [u8]) {
    for (t, ((l, b), r)) in to.as_chunks_mut::<3>().0.iter_mut().zip(luma.iter().zip(blue).zip(red)) {
        let (l, b, r) = (i32::from(*l), i32::from(*b) - 128, i32::from(*r) - 128);
        let rgb = [
            l + ((91881 * r + HALF) >> 16),
            l + ((-22554 * b - 46802 * r + HALF) >> 16),
            l + ((116_130 * b + HALF) >> 16),
        ];
        *t = each(rgb, |v| v.clamp(0, 255) as u8);
    }
}
