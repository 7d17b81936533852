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

    /// The picture, resized, that was cut into `patches` under these settings: what another program must be
    /// shown to see the same.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for patches of another size.
    pub fn picture(&self, patches: &Patches) -> Result<RgbImage> {
        let [_, high, wide] = patches.grid_thw;
        let values = patches.grid_thw.iter().product::<usize>() * patches.patch_dim;
        let whole = high % self.merge_size == 0 && wide % self.merge_size == 0;
        if !whole || patches.patch_dim != 3 * self.patch_size.pow(2) || patches.values_np.len() != values {
            let expected = format!("blocks of {0}x{0} patches of {1}x{1}", self.merge_size, self.patch_size);
            let found = format!("{high}x{wide} patches of {} numbers", patches.patch_dim);
            return Err(crate::Error::input("patches", "grid_thw", expected, found));
        }
        Ok(patches::join(self, patches))
    }

    fn resized<'a>(&self, picture: &'a RgbImage) -> Result<Cow<'a, RgbImage>> {
        let (height, width) = self.smart_resize(picture.height() as usize, picture.width() as usize)?;
        let side = |length: usize| u32::try_from(length).map_err(|error| error.to_string());
        side(height)
            .and_then(|height| resize::bicubic(picture, height, side(width)?))
            .map_err(|reason| unusable(format!("of {}x{}", picture.width(), picture.height()), reason))
    }
}
