//! Frost on the window: a plate is enlarged to cover the picture and blended over it.

use super::plate::plates;
use crate::device::{self, Plan};
use crate::entry::Entry;
use crate::fast::{byte, each, four, made, wide};
use crate::files::pictures;
use crate::random::Key;
use crate::{Corruption, Dose, Error, Limits, open};
use image::RgbImage;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

pub(crate) const FROST: Entry = Entry {
    name: "frost",
    summary: "a frosted window over the picture, the plates made procedurally (ImageNet-C's blend)",
    random: true,
    render: |image, dose| frost(image, dose, plates()),
    kernels: device::weather::frost,
};

/// Frost from pictures of one's own instead of the procedural plates.
#[derive(Debug)]
pub struct Frost {
    plates: Vec<RgbImage>,
}

impl Frost {
    /// Frost that draws one of `plates` for each picture; none if there is no plate or one is empty.
    #[must_use]
    pub fn from_plates(plates: Vec<RgbImage>) -> Option<Self> {
        (!plates.is_empty() && plates.iter().all(|p| !p.is_empty())).then_some(Self { plates })
    }

    /// Frost that draws one of the pictures below `folder`.
    ///
    /// # Errors
    /// A folder without pictures, or a picture that cannot be read.
    pub fn from_folder(folder: &Path, limits: &Limits) -> Result<Self, Error> {
        let read = |path: &PathBuf| open(path, limits).map(|picture| picture.rgb);
        Ok(Self { plates: pictures(folder)?.iter().map(read).collect::<Result<_, _>>()? })
    }
}

impl Corruption for Frost {
    fn name(&self) -> &str {
        FROST.name
    }

    fn summary(&self) -> &str {
        "a frosted window over the picture, the plates given by the user (ImageNet-C's blend)"
    }

    fn random(&self) -> bool {
        true
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        frost(image, dose, &self.plates)
    }

    fn kernels(&self, plan: &mut Plan, dose: &Dose) -> bool {
        device::weather::frost_of(plan, dose, &self.plates);
        true
    }
}

/// The four source pixels of a target pixel along one side, and their weights.
pub(crate) struct Cubic {
    pub(crate) at: [usize; 4],
    pub(crate) weight: [f32; 4],
}

/// `count` places from `start` on of a side of `from` pixels enlarged to `to`: OpenCV's `INTER_CUBIC`.
fn cubic(from: u32, to: u32, start: u32, count: u32) -> Vec<Cubic> {
    let place = |i: u32| {
        let centre = (f64::from(start + i) + 0.5) * f64::from(from) / f64::from(to) - 0.5;
        let x = (centre - centre.floor()) as f32;
        let at = |d: i64| (centre.floor() as i64 + d).clamp(0, i64::from(from) - 1) as usize;
        let near = |x: f32| (1.25 * x - 2.25) * x * x + 1.;
        let far = |x: f32| ((-0.75 * x + 3.75) * x - 6.) * x + 3.;
        Cubic { at: [at(-1), at(0), at(1), at(2)], weight: [far(x + 1.), near(x), near(1. - x), far(2. - x)] }
    };
    (0..count).map(place).collect()
}

/// A plate, laid out for a picture.
pub(crate) struct FrostParts<'a> {
    pub(crate) plate: &'a RgbImage,
    /// How much is kept of the picture and added of the plate.
    pub(crate) keep: f32,
    pub(crate) add: f32,
    pub(crate) columns: Vec<Cubic>,
    pub(crate) lines: Vec<Cubic>,
}

impl<'a> FrostParts<'a> {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize), plates: &'a [RgbImage]) -> Self {
        let (key, w, h) = (Key::new(dose.seed, FROST.name), w as u32, h as u32);
        let plate = &plates[key.pick(0, plates.len() as u32) as usize];
        let ratio = |a: u32, b: u32| f64::from(a) / f64::from(b);
        let cover =
            ratio(w, plate.width()).max(ratio(h, plate.height())).max(f64::from(dose.pixel).max(1.)) * 1.1;
        let grown = |n: u32| (f64::from(n) * cover).ceil() as u32;
        let (wide_to, high_to) = (grown(plate.width()), grown(plate.height()));
        Self {
            plate,
            keep: dose.severity.constant(1., [1., 0.8, 0.7, 0.65, 0.6]),
            add: dose.severity.constant(0., [0.4, 0.6, 0.7, 0.7, 0.75]),
            columns: cubic(plate.width(), wide_to, key.pick(1, wide_to - w), w),
            lines: cubic(plate.height(), high_to, key.pick(2, high_to - h), h),
        }
    }
}

fn frost(image: &RgbImage, dose: &Dose, plates: &[RgbImage]) -> RgbImage {
    let (w, h) = image.dimensions();
    let FrostParts { plate, keep, add, columns, lines } =
        FrostParts::of(dose, (w as usize, h as usize), plates);
    let (stride, plate_stride) = (3 * w as usize, 3 * plate.width() as usize);
    let mut out = RgbImage::new(w, h);
    let space = || (vec![0f32; plate_stride + 1], vec![0f32; stride + 1]);
    out.par_chunks_mut(stride).zip(image.par_chunks(stride)).zip(&lines).for_each_init(
        space,
        |(row, ice), ((to, from), line)| {
            wide!({
                across_lines(plate.as_raw(), plate_stride, line, row);
                along_row(row, &columns, ice);
                for ((t, f), ice) in to.iter_mut().zip(from).zip(ice.iter()) {
                    *t = byte(keep * f32::from(*f) + add * ice.clamp(0., 255.) + 0.002);
                }
            });
        },
    );
    out
}

/// The four lines of a plate weighed together.
#[inline(always)]
fn across_lines(plate: &[u8], stride: usize, line: &Cubic, row: &mut [f32]) {
    let lines: [&[u8]; 4] = each(line.at, |y| &plate[y * stride..][..stride]);
    for (x, r) in row[..stride].iter_mut().enumerate() {
        *r = 0.;
        for (line, weight) in lines.iter().zip(line.weight) {
            *r += weight * f32::from(line[x]);
        }
    }
}

/// Four pixels of a row weighed together for each column.
#[inline(always)]
fn along_row(row: &[f32], columns: &[Cubic], ice: &mut [f32]) {
    for (x, column) in columns.iter().enumerate() {
        let mut sum = [0.; 4];
        for (at, weight) in column.at.iter().zip(column.weight) {
            let pixel = four(row, 3 * at);
            sum = made(|c| sum[c] + weight * pixel[c]);
        }
        // The fourth is the next pixel's first, which is written after it.
        ice[3 * x..3 * x + 4].copy_from_slice(&sum);
    }
}
