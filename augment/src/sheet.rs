//! One picture to look at: a row for each corruption, a column for each severity, all labelled.

use crate::font::{ADVANCE, write};
use crate::{Corruption, Severity};
use image::RgbImage;
use image::imageops::{FilterType, overlay, resize};
use rayon::prelude::*;

/// How a sheet is laid out.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// The longer side of one picture in pixels. The picture is resized to it before it is corrupted, so that what one
    /// sees is what the constants do at this size.
    pub cell: u32,
    /// The columns.
    pub severities: Vec<Severity>,
    /// Which random numbers.
    pub seed: u64,
}

impl Default for Sheet {
    fn default() -> Self {
        Self { cell: 224, severities: Severity::LEVELS.to_vec(), seed: 0 }
    }
}

const GAP: u32 = 6;
const LABEL: u32 = 12;

/// `corruptions` x severities of `image`, each row under its name, with the untouched picture first.
#[must_use]
pub fn sheet(image: &RgbImage, corruptions: &[&dyn Corruption], layout: &Sheet) -> RgbImage {
    let (w, h) = image.dimensions();
    let ratio = f64::from(layout.cell) / f64::from(w.max(h).max(1));
    let side = |n: u32| ((f64::from(n) * ratio).round() as u32).max(1);
    let small = resize(image, side(w), side(h), FilterType::CatmullRom);
    let columns = layout.severities.len() as u32 + 1;
    let (wide, high) = (small.width() + GAP, small.height() + GAP + LABEL);
    let longest = corruptions.iter().map(|c| c.name().len() as u32 + 9).max().unwrap_or(0) * ADVANCE;
    let size = (GAP + (columns * wide).max(longest), GAP + corruptions.len() as u32 * high);
    let mut out = RgbImage::from_pixel(size.0, size.1, image::Rgb([255; 3]));
    let cells: Vec<Vec<RgbImage>> = corruptions
        .par_iter()
        .map(|c| layout.severities.iter().map(|s| c.apply(&small, *s, layout.seed)).collect())
        .collect();
    for ((row, corruption), cells) in (0u32..).zip(corruptions).zip(&cells) {
        let top = GAP + row * high;
        write(&mut out, corruption.name(), (GAP, top), 1);
        for (column, cell) in (0u32..).zip(std::iter::once(&small).chain(cells)) {
            let left = GAP + column * wide;
            overlay(&mut out, cell, i64::from(left), i64::from(top + LABEL));
            if let Some(severity) = column.checked_sub(1).map(|c| layout.severities[c as usize]) {
                let label = format!("{}", severity.levels());
                let used = GAP + ADVANCE * (corruption.name().len() as u32 + 1);
                let right = left + small.width() - (ADVANCE * label.len() as u32).min(small.width());
                if right > used {
                    write(&mut out, &label, (right, top), 1);
                }
            }
        }
    }
    out
}
