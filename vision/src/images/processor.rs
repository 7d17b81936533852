//! The steps from a picture to patches under one directory's settings.

use std::borrow::Cow;

use image::RgbImage;

use super::smart_resize::{MAX_ASPECT, smart_resize};
use super::{Patches, patches, resize, unusable};
use crate::Result;

/// How a model wants its pictures; read with [`ImageProcessor::from_dir`].
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames in a patch; a still picture is repeated that often.
    pub temporal_patch_size: usize,
    /// Side of a merge block in patches.
    pub merge_size: usize,
    /// Least area after resizing, in pixels.
    pub min_pixels: u64,
    /// Largest area after resizing, in pixels.
    pub max_pixels: u64,
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in 0..1.
    pub std: [f32; 3],
}

impl ImageProcessor {
    /// The `(height, width)` that a picture is resized to, in pixels.
    ///
    /// # Errors
    /// [`crate::Error::Image`] for a side of nothing or an aspect ratio over 200.
    pub fn smart_resize(&self, height: usize, width: usize) -> Result<(usize, usize)> {
        let factor = self.patch_size * self.merge_size;
        smart_resize((height, width), factor, self.min_pixels, self.max_pixels).ok_or_else(|| {
            let reason = format!("both sides should be over 0 and their ratio at most {MAX_ASPECT}");
            unusable(format!("of {width}x{height}"), reason)
        })
    }

    /// The picture in the size of [`Self::smart_resize`].
    ///
    /// # Errors
    /// As [`Self::smart_resize`].
    pub fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        self.resized(picture).map(Cow::into_owned)
    }

    /// Resizes, normalises and cuts the picture.
    ///
    /// # Errors
    /// As [`Self::smart_resize`].
    pub fn patches(&self, picture: &RgbImage) -> Result<Patches> {
        self.resized(picture).map(|resized| patches::cut(self, &resized))
    }

    fn resized<'a>(&self, picture: &'a RgbImage) -> Result<Cow<'a, RgbImage>> {
        let (height, width) = self.smart_resize(picture.height() as usize, picture.width() as usize)?;
        let side = |length: usize| u32::try_from(length).map_err(|error| error.to_string());
        side(height)
            .and_then(|height| resize::bicubic(picture, height, side(width)?))
            .map_err(|reason| unusable(format!("of {}x{}", picture.width(), picture.height()), reason))
    }
}
