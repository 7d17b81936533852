//! A lens out of focus: a disk, its rim softened.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, wide};
use crate::filter::{Border, Kernel, filter_row};
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const DEFOCUS: Entry = Entry {
    name: "defocus_blur",
    summary: "a lens out of focus: a soft disk of radius 3 to 10 pixels (ImageNet-C)",
    random: false,
    render: defocus,
};

/// Rows that share their running sums.
const BAND: usize = 32;

/// The published kernel is a disk blurred by a small Gaussian; filters commute, so the disk is taken by running
/// sums (two terms a row of the disk, exact in integers) and the Gaussian after it.
fn defocus(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (disk, soft) = Disk::of(dose);
    let sharp = disk_sums(image, &disk);
    let mut out = RgbImage::new(image.width(), image.height());
    let stride = 3 * image.width() as usize;
    let space = || (Vec::new(), vec![0.; stride]);
    out.par_chunks_mut(stride).enumerate().for_each_init(space, |(pad, sum), (y, to)| {
        wide!({
            filter_row::<f32, 3>(&sharp, y, (&soft, &soft), Border::Reflect, pad, sum);
            for (t, s) in to.iter_mut().zip(sum.iter()) {
                *t = byte(s * disk.scale + 0.002);
            }
        });
    });
    out
}

/// The disk X² + Y² <= r², and what the published kernel gains at the ends of its grid: OpenCV reflects the disk there
/// when it blurs it, so that at levels 4 and 5 the kernel's sum is 1.013 and 1.011 and the picture brightens.
pub(crate) struct Disk {
    /// How far the rows reach to each side, from the centre's row outwards.
    half: Vec<i64>,
    /// The row of the grid's end and the weight of what it gains, if the disk comes that near to it.
    end: Option<(i64, f32)>,
    /// 1 / area.
    pub(crate) scale: f32,
}

impl Disk {
    /// The disk and the Gaussian that softens it.
    pub(crate) fn of(dose: &Dose) -> (Self, Kernel) {
        let radius = dose.severity.constant(0., [3., 4., 6., 8., 10.]) * dose.pixel;
        let alias = dose.severity.constant(0.1, [0.1, 0.5, 0.5, 0.5, 0.5]) * dose.pixel;
        let small = radius <= 8. * dose.pixel;
        let soft = Kernel::bell(alias, (if small { 1. } else { 2. } * dose.pixel) as usize);
        // The grid that the published kernel is drawn on ends here.
        let end = if small { (8. * dose.pixel) as usize } else { radius as usize };
        (Self::new(radius, end, soft.at(1)), soft)
    }

    /// The weight of what is gained and lost at the grid's end.
    pub(crate) fn leak(&self) -> f32 {
        self.end.map_or(0., |(_, leak)| leak)
    }

    fn new(radius: f32, end: usize, leak: f32) -> Self {
        let reach = |y: i64| (radius * radius - (y * y) as f32).max(0.).sqrt() as i64;
        let half: Vec<i64> = (0..=radius as i64).map(reach).collect();
        let area: i64 = half.iter().skip(1).map(|w| 2 * (2 * w + 1)).sum::<i64>() + 2 * half[0] + 1;
        let end = (half.len() >= end && end > 0).then_some((end as i64, leak));
        Self { half, end, scale: 1. / area as f32 }
    }

    /// How far anything reaches.
    fn reach(&self) -> usize {
        self.end.map_or(self.half.len() - 1, |(end, _)| end as usize + 1)
    }

    /// Runs of the rows `y` of the disk: their row and half width.
    pub(crate) fn runs(&self) -> Vec<(i64, i64, i64)> {
        let last = self.half.len() as i64 - 1;
        (-last..=last).map(|y| (y, 0, self.half[y.unsigned_abs() as usize])).collect()
    }

    /// Runs (row, column of the middle, half width) to add and to take away once for the grid's ends.
    pub(crate) fn leaks(&self) -> [Vec<(i64, i64, i64)>; 2] {
        let Some((end, _)) = self.end else { return [Vec::new(), Vec::new()] };
        let about = |at: i64, half: Option<&i64>| {
            let Some(half) = half else { return Vec::new() };
            let sides = (-half..=*half).flat_map(|y| [(y, at, 0), (y, -at, 0)]);
            [(at, 0, *half), (-at, 0, *half)].into_iter().chain(sides).collect()
        };
        [about(end, self.half.get(end as usize - 1)), about(end + 1, self.half.get(end as usize))]
    }
}

/// The disk's sum about each element, not divided by its area.
fn disk_sums(image: &RgbImage, disk: &Disk) -> Vec<f32> {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let (stride, reach) = (3 * w, disk.reach());
    let padded = 3 * (w + 2 * reach + 1);
    let (runs, [gains, losses]) = (disk.runs(), disk.leaks());
    let leak = disk.leak();
    let mut out = vec![0.; stride * h];
    out.par_chunks_mut(stride * BAND).enumerate().for_each(|(band, to)| {
        let (top, lines) = ((band * BAND) as i64 - reach as i64, to.len() / stride + 2 * reach);
        let mut sums = vec![0u32; padded * lines];
        let (mut total, mut gain) = (vec![0u32; stride], vec![0u32; stride]);
        for (line, sums) in sums.chunks_mut(padded).enumerate() {
            let y = Border::Reflect.at(top + line as i64, h);
            running_sums(&image.as_raw()[y * stride..][..stride], reach, sums);
        }
        for (y, to) in to.chunks_mut(stride).enumerate() {
            let sums = &sums[y * padded..];
            wide!({
                total.fill(0);
                add_runs(sums, padded, reach, &runs, &mut total, false);
                gain.fill(0);
                add_runs(sums, padded, reach, &gains, &mut gain, false);
                add_runs(sums, padded, reach, &losses, &mut gain, true);
                for ((t, s), g) in to.iter_mut().zip(&total).zip(&gain) {
                    *t = *s as f32 + leak * (*g as i32) as f32;
                }
            });
        }
    });
    out
}

/// Adds to `total[x]` (or takes away) the sums of runs about `x`, from the running sums of the rows.
#[inline(always)]
fn add_runs(
    sums: &[u32],
    padded: usize,
    reach: usize,
    runs: &[(i64, i64, i64)],
    total: &mut [u32],
    negative: bool,
) {
    for (down, right, half) in runs {
        let row = &sums[(down + reach as i64) as usize * padded..][..padded];
        let at = |x: i64| 3 * (x + reach as i64) as usize;
        let (left, right) = (&row[at(right - half)..], &row[at(right + half + 1)..]);
        let (left, right) = if negative { (right, left) } else { (left, right) };
        for ((t, l), r) in total.iter_mut().zip(left).zip(right) {
            *t = t.wrapping_add(r.wrapping_sub(*l));
        }
    }
}

/// `sums[x]` = the sum of all elements of the row, extended by `reach` pixels, that stand before `x`.
fn running_sums(row: &[u8], reach: usize, sums: &mut [u32]) {
    let w = row.len() / 3;
    let mut sum = [0u32; 3];
    let extended = (0..reach).map(|i| Border::Reflect.at(i as i64 - reach as i64, w));
    let after = (w..w + reach).map(|i| Border::Reflect.at(i as i64, w));
    for (s, x) in sums.as_chunks_mut::<3>().0.iter_mut().zip(extended.chain(0..w).chain(after).chain([0])) {
        *s = sum;
        (0..3).for_each(|c| sum[c] = sum[c].wrapping_add(u32::from(row[3 * x + c])));
    }
}
