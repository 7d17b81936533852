//! A contact sheet: images with their questions and answers under them.

use crate::synth::text;
use crate::{Result, Sample};
use image::{Rgb, RgbImage, imageops};

/// Room under an image, in pixels: three lines of question and one of answer.
const CAPTION: u32 = 4 * (text::CELL + 3) + 4;
const GAP: u32 = 8;

/// Draws `samples` in rows of `columns`, each image fitted into a square of `side` pixels. Samples without an image get
/// an empty square.
///
/// # Errors
/// An image cannot be decoded.
pub fn sheet(samples: &[Sample], columns: u32, side: u32) -> Result<RgbImage> {
    let columns = columns.clamp(1, samples.len().max(1) as u32);
    let rows = (samples.len() as u32).div_ceil(columns);
    let (width, height) = (side + GAP, side + CAPTION + GAP);
    let mut out = RgbImage::from_pixel(columns * width + GAP, rows * height + GAP, Rgb([255; 3]));
    for (i, sample) in samples.iter().enumerate() {
        let (x, y) = (GAP + i as u32 % columns * width, GAP + i as u32 / columns * height);
        if let Some(image) = sample.images.first() {
            let image = fit(&*image.decode()?, side);
            imageops::replace(&mut out, &image, i64::from(x), i64::from(y));
        }
        caption(&mut out, sample, x, y + side + 3, side);
    }
    Ok(out)
}

fn fit(image: &RgbImage, side: u32) -> RgbImage {
    let scale = f64::from(side) / f64::from(image.width().max(image.height()));
    let new = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
    let filter = if scale >= 1. { imageops::FilterType::Nearest } else { imageops::FilterType::Triangle };
    imageops::resize(image, new(image.width()), new(image.height()), filter)
}

fn caption(out: &mut RgbImage, sample: &Sample, x: u32, y: u32, side: u32) {
    let line = |k: u32| i64::from(y + k * (text::CELL + 3));
    let per_line = (side / text::CELL).max(1) as usize;
    let question: Vec<char> = sample.problem.replace("<image>", "").chars().collect();
    for (k, part) in question.chunks(per_line).take(3).enumerate() {
        let part: String = part.iter().collect();
        text::paint(out, (i64::from(x), line(k as u32)), 1, [0, 0, 0], &part);
    }
    let answer: String = format!("= {}", sample.answer).chars().take(per_line).collect();
    text::paint(out, (i64::from(x), line(3)), 1, [0, 96, 0], &answer);
}
