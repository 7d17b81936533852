//! Between RGB and YCbCr, and between full and halved chroma, in libjpeg's fixed point (16 bits of fraction).

use image::RgbImage;

const HALF: i32 = 1 << 15;

/// So many pixels are taken apart into channels at a time, or put together again: loops over one channel fill registers,
/// loops over pixels of three do not.
const GROUP: usize = 64;

/// Fills a unit's 16 luma rows and 8 rows of each chroma; beyond the picture its last column and row are repeated.
#[inline(always)]
pub(super) fn to_planes(image: &RgbImage, unit: usize, luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
    let columns = luma.len() / 16;
    let (w, h) = (image.width() as usize, image.height() as usize);
    // The last pair of rows that has a row of the picture in it.
    let last = (h - 1) / 2;
    let mut full = [(); 4].map(|()| vec![0u8; columns]);
    let halves = blue.chunks_exact_mut(columns / 2).zip(red.chunks_exact_mut(columns / 2));
    for (i, ((blue, red), luma)) in halves.zip(luma.chunks_exact_mut(2 * columns)).enumerate() {
        let pair = (8 * unit + i).min(last);
        let [blue_above, red_above, blue_below, red_below] = &mut full;
        let (first, second) = luma.split_at_mut(columns);
        let row = |y: usize| &image.as_raw()[3 * w * y..][..3 * w];
        let pairs = [(2 * pair, first, blue_above, red_above), (2 * pair + 1, second, blue_below, red_below)];
        // A pair past the end repeats its last chroma rows, but the picture's last luma row.
        let end = 8 * unit + i > last;
        for (y, luma, blue, red) in pairs {
            convert(row(y.min(h - 1)), luma, blue, red);
            if end {
                let (mut blue, mut red) = (vec![0; columns], vec![0; columns]);
                convert(row(h - 1), luma, &mut blue, &mut red);
            }
        }
        let [blue_above, red_above, blue_below, red_below] = &full;
        halve(blue_above, blue_below, blue);
        halve(red_above, red_below, red);
    }
}

/// A row of pixels as luma and chroma, the last one repeated to the end.
#[inline(always)]
fn convert(row: &[u8], luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
    let w = row.len() / 3;
    let groups = luma[..w].chunks_mut(GROUP).zip(blue[..w].chunks_mut(GROUP)).zip(red[..w].chunks_mut(GROUP));
    for (((luma, blue), red), pixels) in groups.zip(row.chunks(3 * GROUP)) {
        let (mut r, mut g, mut b) = ([0u8; GROUP], [0u8; GROUP], [0u8; GROUP]);
        for (((r, g), b), p) in r.iter_mut().zip(&mut g).zip(&mut b).zip(pixels.as_chunks::<3>().0) {
            (*r, *g, *b) = (p[0], p[1], p[2]);
        }
        let centre = (128 << 16) + HALF - 1;
        weigh([&r, &g, &b], [19595, 38470, 7471], HALF, luma);
        weigh([&r, &g, &b], [-11059, -21709, 32768], centre, blue);
        weigh([&r, &g, &b], [32768, -27439, -5329], centre, red);
    }
    for plane in [luma, blue, red] {
        let last = plane[w - 1];
        plane[w..].fill(last);
    }
}

/// Channels weighed together, 16 bits of fraction cut off.
#[inline(always)]
fn weigh([r, g, b]: [&[u8; GROUP]; 3], [x, y, z]: [i32; 3], plus: i32, to: &mut [u8]) {
    for (((t, r), g), b) in to.iter_mut().zip(r).zip(g).zip(b) {
        *t = ((x * i32::from(*r) + y * i32::from(*g) + z * i32::from(*b) + plus) >> 16) as u8;
    }
}

/// The mean of each 2x2; the half is rounded down and up in turn.
#[inline(always)]
fn halve(above: &[u8], below: &[u8], to: &mut [u8]) {
    let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (x, (t, (a, b))) in to.iter_mut().zip(pairs).enumerate() {
        let sum = u16::from(a[0]) + u16::from(a[1]) + u16::from(b[0]) + u16::from(b[1]);
        *t = ((sum + 1 + (x & 1) as u16) >> 2) as u8;
    }
}

/// Row `y` of a chroma plane at full size: three parts the nearer sample and one the farther, down and along. `sums` is
/// working space.
#[inline(always)]
pub(super) fn upsample(
    plane: &[u8],
    stride: usize,
    (w, h): (usize, usize),
    y: usize,
    sums: &mut [u16],
    out: &mut [u8],
) {
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
    // One more on each side, the same as its neighbour.
    for ((s, near), far) in sums[1..].iter_mut().zip(near).zip(far) {
        *s = 3 * u16::from(*near) + u16::from(*far);
    }
    (sums[0], sums[columns + 1]) = (sums[1], sums[columns]);
    let (last, this, next) = (&sums[..columns], &sums[1..][..columns], &sums[2..][..columns]);
    for (((o, last), this), next) in pairs.iter_mut().zip(last).zip(this).zip(next) {
        *o = [((3 * this + last + 8) >> 4) as u8, ((3 * this + next + 7) >> 4) as u8];
    }
}

#[inline(always)]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], to: &mut [u8]) {
    let planes = luma.chunks(GROUP).zip(blue.chunks(GROUP)).zip(red.chunks(GROUP));
    for (to, ((luma, blue), red)) in to.chunks_mut(3 * GROUP).zip(planes) {
        let (mut r, mut g, mut b) = ([0u8; GROUP], [0u8; GROUP], [0u8; GROUP]);
        let targets = r.iter_mut().zip(&mut g).zip(&mut b);
        for (((r, g), b), ((l, cb), cr)) in targets.zip(luma.iter().zip(blue).zip(red)) {
            let (l, cb, cr) = (i32::from(*l), i32::from(*cb) - 128, i32::from(*cr) - 128);
            *r = (l + ((91881 * cr + HALF) >> 16)).clamp(0, 255) as u8;
            *g = (l + ((-22554 * cb - 46802 * cr + HALF) >> 16)).clamp(0, 255) as u8;
            *b = (l + ((116_130 * cb + HALF) >> 16)).clamp(0, 255) as u8;
        }
        for (t, ((r, g), b)) in to.as_chunks_mut::<3>().0.iter_mut().zip(r.iter().zip(&g).zip(&b)) {
            *t = [*r, *g, *b];
        }
    }
}
