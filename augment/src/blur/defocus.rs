//! A lens out of focus: a disk, its rim softened.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, made, wide};
use crate::filter::{Border, Kernel, filter_row};
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const DEFOCUS: Entry = Entry {
    name: "defocus_blur",
    summary: "a lens out of focus: a soft disk of radius 3 to 10 pixels (ImageNet-C)",
    random: false,
    render: defocus,
    kernels: crate::device::blur::defocus,
};

/// Rows that share their running sums.
const BAND: usize = 64;

/// Elements that are summed at a time, in registers.
const LANES: usize = 64;

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
        let mut sums = vec![0u32; padded * lines + LANES];
        for (line, sums) in sums.chunks_exact_mut(padded).enumerate() {
            let y = Border::Reflect.at(top + line as i64, h);
            running_sums(&image.as_raw()[y * stride..][..stride], reach, sums);
        }
        for (y, to) in to.chunks_mut(stride).enumerate() {
            let sums = &sums[y * padded..];
            wide!(disk_row(sums, padded, reach, [&runs, &gains, &losses], leak, to));
        }
    });
    out
}

/// A row of the disk's sums, from the running sums of the rows about it.
#[inline(always)]
fn disk_row(
    sums: &[u32],
    padded: usize,
    reach: usize,
    [runs, gains, losses]: [&[(i64, i64, i64)]; 3],
    leak: f32,
    to: &mut [f32],
) {
    // Beyond the end of a row stand the next one's sums; what is made of them is thrown away.
    for (i, to) in to.chunks_mut(LANES).enumerate() {
        let sums = &sums[LANES * i..];
        let total = run_sums(sums, padded, reach, runs);
        let (gain, loss) = (run_sums(sums, padded, reach, gains), run_sums(sums, padded, reach, losses));
        for (k, t) in to.iter_mut().enumerate() {
            *t = total[k] as f32 + leak * (gain[k].wrapping_sub(loss[k]) as i32) as f32;
        }
    }
}

/// The sums of runs about so many neighbouring elements.
#[inline(always)]
fn run_sums(sums: &[u32], padded: usize, reach: usize, runs: &[(i64, i64, i64)]) -> [u32; LANES] {
    let mut total = [0u32; LANES];
    for (down, right, half) in runs {
        let row = &sums[(down + reach as i64) as usize * padded..];
        let at = |x: i64| 3 * (x + reach as i64) as usize;
        let (left, right) = (&row[at(right - half)..][..LANES], &row[at(right + half + 1)..][..LANES]);
        for ((t, l), r) in total.iter_mut().zip(left).zip(right) {
            *t = t.wrapping_add(r.wrapping_sub(*l));
        }
    }
    total
}

/// `sums[x]` = the sum of all elements of the row, extended by `reach` pixels, that stand before `x`.
fn running_sums(row: &[u8], reach: usize, sums: &mut [u32]) {
    let w = row.len() / 3;
    let mut sum = [0u32; 3];
    let (before, rest) = sums.as_chunks_mut::<3>().0.split_at_mut(reach);
    let (within, after) = rest.split_at_mut(w);
    let pixel = |x: i64| each(made(|c| row[3 * Border::Reflect.at(x, w) + c]), u32::from);
    let mut add = |s: &mut [u32; 3], pixel: [u32; 3]| {
        *s = sum;
        sum = made(|c| sum[c].wrapping_add(pixel[c]));
    };
    before.iter_mut().zip(-(reach as i64)..).for_each(|(s, x)| add(s, pixel(x)));
    within.iter_mut().zip(row.as_chunks::<3>().0).for_each(|(s, p)| add(s, each(*p, u32::from)));
    after.iter_mut().zip(w as i64..).for_each(|(s, x)| add(s, pixel(x)));
}
