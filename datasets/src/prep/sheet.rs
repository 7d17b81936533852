//! A contact sheet: some of the pictures with a few lines of text under them.

use super::chunks::Chunks;
use super::import::{Hooks, Progress};
use super::records::{self, SourceSpec};
use super::row::hash;
use crate::synth::text;
use crate::{Error, IMAGE_MARK, Result, Sample};
use image::{Rgb, RgbImage, imageops};
use std::collections::BTreeMap;

/// Lines of a question that are shown.
const QUESTION_LINES: usize = 3;
/// From line to line, in pixels.
const LINE: u32 = text::CELL + 3;
/// Room under a picture: the question and the answer.
const CAPTION: u32 = (QUESTION_LINES as u32 + 1) * LINE + 4;
const GAP: u32 = 8;
/// A sheet may have this many pixels.
const MAX_PIXELS: u64 = 400_000_000;

/// A place on the sheet.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture, of any size.
    pub image: Option<RgbImage>,
    /// What stands under it, cut into lines as the sheet is wide.
    pub text: String,
    /// What stands under that, in one line.
    pub answer: String,
}

impl Tile {
    /// A tile for every picture of a sample; one without a picture has one tile all the same. Question and answer
    /// stand under the first. A picture that cannot be decoded is an empty square with the reason.
    pub fn of(sample: &Sample) -> Vec<Self> {
        let text = sample.prompt().replace(IMAGE_MARK, "").trim().to_owned();
        let answer = format!("= {}", sample.answer);
        let mut out = vec![Self { image: None, text, answer }];
        for (k, image) in sample.images.iter().enumerate() {
            if k > 0 {
                out.push(Self { image: None, text: format!("(image {})", k + 1), answer: String::new() });
            }
            match (image.decode(), out.last_mut()) {
                (Ok(image), Some(tile)) => tile.image = Some(image.as_ref().clone()),
                (Err(e), Some(tile)) => tile.text = e.to_string(),
                (_, None) => {}
            }
        }
        out
    }
}

/// `count` samples of `spec`, drawn by a hash of `seed` and their ids, in the order of the source. Rows that cannot be
/// read are not drawn. `hooks` may bring a progress.
///
/// # Errors
/// The source cannot be opened.
pub fn pick(spec: &SourceSpec, count: usize, seed: u64, hooks: Hooks) -> Result<Vec<Sample>> {
    let mut chunks = Chunks::new(records::open(spec)?, (0, 1));
    let mut kept: BTreeMap<u128, (u64, Sample)> = BTreeMap::new();
    let mut rows = 0;
    let mut number = 0;
    while let Some(chunk) = chunks.next() {
        rows += chunk.rows;
        for sample in chunk.records.into_iter().flatten().filter_map(|record| record.sample.ok()) {
            number += 1;
            let place = hash([&seed.to_le_bytes()[..], sample.id.as_bytes()]);
            // What is sure to be dropped is not kept for a moment: a sample may hold megabytes.
            if kept.len() < count || kept.last_key_value().is_some_and(|(last, _)| place < *last) {
                kept.insert(place, (number, sample));
            }
            while kept.len() > count {
                kept.pop_last();
            }
        }
        if let Some(progress) = hooks.progress {
            progress(Progress { rows, share: chunks.share() });
        }
    }
    let mut kept: Vec<_> = kept.into_values().collect();
    kept.sort_by_key(|(number, _)| *number);
    Ok(kept.into_iter().map(|(_, sample)| sample).collect())
}

/// Draws `tiles` in rows of `columns`, each picture fitted into a square of `side` pixels; an empty square where there
/// is none.
///
/// # Errors
/// The sheet would be too large.
pub fn sheet(tiles: &[Tile], columns: u32, side: u32) -> Result<RgbImage> {
    let columns = columns.clamp(1, tiles.len().max(1) as u32);
    let rows = (tiles.len() as u32).div_ceil(columns);
    let (width, height) = (u64::from(side + GAP), u64::from(side + CAPTION + GAP));
    let (wide, high) =
        (u64::from(columns) * width + u64::from(GAP), u64::from(rows) * height + u64::from(GAP));
    if wide * high > MAX_PIXELS {
        return Err(Error::Invalid(format!("a sheet of {wide}x{high} pixels is above {MAX_PIXELS}")));
    }
    let mut out = RgbImage::from_pixel(wide as u32, high as u32, Rgb([255; 3]));
    for (i, tile) in tiles.iter().enumerate() {
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        let (x, y) = (GAP + column * width as u32, GAP + row * height as u32);
        match &tile.image {
            Some(image) => imageops::replace(&mut out, &fit(image, side), i64::from(x), i64::from(y)),
            None => imageops::replace(
                &mut out,
                &RgbImage::from_pixel(side, side, Rgb([240; 3])),
                x.into(),
                y.into(),
            ),
        }
        caption(&mut out, tile, (x, y + side + 3), side);
    }
    Ok(out)
}

/// Small pictures grow by whole pixels at most to the square, large ones shrink into it.
fn fit(image: &RgbImage, side: u32) -> RgbImage {
    let scale = f64::from(side) / f64::from(image.width().max(image.height()));
    let new = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
    let filter = if scale >= 1. { imageops::FilterType::Nearest } else { imageops::FilterType::Triangle };
    imageops::resize(image, new(image.width()), new(image.height()), filter)
}

fn caption(out: &mut RgbImage, tile: &Tile, (x, y): (u32, u32), side: u32) {
    let per_line = (side / text::CELL).max(1) as usize;
    let mut put = |line: usize, colour, said: &str| {
        text::paint(out, (i64::from(x), i64::from(y + line as u32 * LINE)), 1, colour, said);
    };
    for (k, line) in wrapped(&tile.text, per_line).iter().enumerate() {
        put(k, [0, 0, 0], line);
    }
    let answer: String = tile.answer.chars().take(per_line).collect();
    put(QUESTION_LINES, [0, 96, 0], &answer);
}

/// `text` in at most [`QUESTION_LINES`] lines, broken between words where there is room to; the last ends in dots
/// where more would follow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let gap = if used > 0 { " " } else { "" };
            let fits = used + gap.len() + rest.len() <= width;
            match lines.last_mut() {
                Some(last) if fits => last.extend(gap.chars().chain(rest.drain(..))),
                Some(last) if used == 0 => last.extend(rest.drain(..width)),
                _ => lines.push(String::new()),
            }
        }
    }
    if lines.len() > QUESTION_LINES {
        lines.truncate(QUESTION_LINES);
        if let Some(last) = lines.last_mut() {
            *last = last.chars().take(width.saturating_sub(2)).chain("..".chars()).collect();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_where_they_fit() {
        assert_eq!(wrapped("how many red ones are there", 10), ["how many", "red ones", "are there"]);
        assert_eq!(wrapped("abcdefghijklmno p", 6), ["abcdef", "ghijkl", "mno p"]);
        assert_eq!(wrapped("a b c d e f g h i j", 3), ["a b", "c d", "e.."]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
