//! What makes a sample unusable, and what a user may not want.

use super::language;
use super::measure::Measure;
use super::reject::Kind;
use crate::grade::{boxed, choice::letter};
use crate::prompt::pieces;
use crate::{DecodeLimits, ImageRef, Sample};
use fast_image_resize::images::{Image, ImageRef as ImageViewRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a user wants of a sample; absent means anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Least width times height of every image.
    pub min_pixels: Option<u64>,
    /// Greatest width times height of every image.
    pub max_pixels: Option<u64>,
    /// Greatest ratio of an image's longer to its shorter side.
    pub max_aspect: Option<f64>,
    /// Most images.
    pub max_images: Option<usize>,
    /// Whether a sample must have an image.
    pub needs_image: bool,
    /// Most characters of question and answer together.
    pub max_chars: Option<usize>,
    /// Most prompt tokens, counted by the caller's own tokenizer and grid.
    pub max_tokens: Option<usize>,
    /// Languages of the question, by codes of ISO 639; empty for any. A question too short to tell is kept.
    pub languages: Vec<String>,
    /// Whether a second sample of the same question and the same image bytes is dropped.
    pub drop_duplicates: bool,
}

impl Filter {
    /// Whether it can be meant.
    ///
    /// # Errors
    /// A language that is not known, or bounds that let nothing through.
    pub(super) fn check(&self) -> crate::Result<()> {
        self.languages.iter().try_for_each(|code| language::named(code).map(|_| ()))?;
        if let (Some(least), Some(most)) = (self.min_pixels, self.max_pixels)
            && least > most
        {
            let message = format!("no image has at least {least} and at most {most} pixels");
            return Err(crate::Error::Invalid(message));
        }
        Ok(())
    }
}

/// A sample's decoded images, or why it does not pass.
pub(super) type Checked = Result<Vec<Arc<RgbImage>>, (Kind, String)>;

/// Checks a sample wholly: marks, answer, every image decoded to its last byte, then the filter.
pub(super) fn check(sample: &Sample, filter: &Filter, limits: DecodeLimits) -> Checked {
    let broken = |reason: String| (Kind::Broken, reason);
    pieces(&sample.problem, sample.images.len()).map_err(|e| broken(format!("field `problem`: {e}")))?;
    answer(sample).map_err(broken)?;
    let images: Result<Vec<_>, _> = sample.images.iter().map(|i| i.decode_within(limits)).collect();
    let images = images.map_err(|e| broken(e.to_string()))?;
    wanted(sample, &images, filter).map_err(|reason| (Kind::Filtered, reason))?;
    Ok(images)
}

fn answer(sample: &Sample) -> Result<(), String> {
    let answer = sample.answer.trim();
    if answer.is_empty() {
        return Err("field `answer`: the answer is empty".into());
    }
    if answer.contains("\\boxed") && boxed(answer).is_none_or(|inner| inner.trim().is_empty()) {
        return Err(format!("field `answer`: `{answer}` has an empty or open box"));
    }
    let choices = &sample.choices;
    if !choices.is_empty() {
        let named = |i: usize| answer == letter(i).to_string() || answer == choices[i];
        match (0..choices.len()).filter(|&i| named(i)).count() {
            0 => return Err(format!("field `answer`: `{answer}` names none of {} options", choices.len())),
            1 => {}
            n => return Err(format!("field `answer`: `{answer}` is ambiguous, {n} options fit")),
        }
    }
    Ok(())
}

fn wanted(sample: &Sample, images: &[Arc<RgbImage>], filter: &Filter) -> Result<(), String> {
    let most = |what: &str, value: f64, limit: Option<f64>| match limit {
        Some(limit) if value > limit => Err(format!("{what} {value} is above {limit}")),
        _ => Ok(()),
    };
    if filter.needs_image && images.is_empty() {
        return Err("no image".into());
    }
    most("images", images.len() as f64, filter.max_images.map(|v| v as f64))?;
    let chars = sample.problem.chars().count() + sample.answer.chars().count();
    most("characters", chars as f64, filter.max_chars.map(|v| v as f64))?;
    for image in images {
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let pixels = width * height;
        most("pixels", pixels, filter.max_pixels.map(|v| v as f64))?;
        most("aspect ratio", width.max(height) / width.min(height), filter.max_aspect)?;
        if let Some(least) = filter.min_pixels.filter(|&v| pixels < v as f64) {
            return Err(format!("pixels {pixels} is below {least}"));
        }
    }
    if filter.languages.is_empty() {
        return Ok(());
    }
    let languages =
        filter.languages.iter().map(|code| language::named(code)).collect::<crate::Result<Vec<_>>>();
    match language::other_than(&languages.map_err(|e| e.to_string())?, &sample.problem) {
        Some(found) => Err(format!("the question is in {found}, wanted is {}", filter.languages.join(", "))),
        None => Ok(()),
    }
}

/// The one check that a model decides.
pub(super) fn tokens(sample: &Sample, filter: &Filter, measure: &dyn Measure) -> Result<(), (Kind, String)> {
    let Some(most) = filter.max_tokens else { return Ok(()) };
    match measure.prompt(sample) {
        Ok(tokens) if tokens > most => Err((Kind::Filtered, format!("tokens {tokens} is above {most}"))),
        Ok(_) => Ok(()),
        Err(e) => Err((Kind::Broken, e.to_string())),
    }
}

/// An image brought to at most `pixels`, as PNG, or `None` where it is small enough.
pub(super) fn shrink(image: &RgbImage, pixels: u64) -> Result<Option<ImageRef>, String> {
    let (width, height) = image.dimensions();
    let now = u64::from(width) * u64::from(height);
    if now <= pixels {
        return Ok(None);
    }
    let scale = (pixels as f64 / now as f64).sqrt();
    let side = |s: u32| ((f64::from(s) * scale) as u32).max(1);
    let mut small = RgbImage::new(side(width), side(height));
    let from =
        ImageViewRef::new(width, height, image.as_raw(), PixelType::U8x3).map_err(|e| e.to_string())?;
    let (wide, high) = small.dimensions();
    let mut to = Image::from_slice_u8(wide, high, &mut small, PixelType::U8x3).map_err(|e| e.to_string())?;
    let bicubic = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(&from, &mut to, &bicubic).map_err(|e| e.to_string())?;
    Ok(Some(ImageRef::Rgb(Arc::new(small))))
}
