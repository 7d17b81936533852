//! From a box to the part of the original that is shown.

use image::RgbImage;
use image::imageops::crop_imm;

use super::{Frame, Refusal, Rules, Sizes};

/// A crop this many times as long as wide is not worth showing: the whole image is shown instead.
const WHOLE_ASPECT: f64 = 150.0;

/// A box that passed the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// As the model said it, `[x1, y1, x2, y2]` in its family's frame.
    pub said: [i64; 4],
    /// In whole pixels of the original.
    pub original: [u32; 4],
    /// Its share of the original's area.
    pub area: f64,
}

impl Region {
    /// The region of a box, in an image of these sizes.
    ///
    /// # Errors
    /// The rule that the box breaks.
    pub fn new(said: [i64; 4], frame: Frame, sizes: Sizes, rules: &Rules) -> Result<Self, Refusal> {
        rules.check(frame.to_read(said, sizes), sizes.read)?;
        let original = frame.to_original(said, sizes).map(|value| u32::try_from(value).unwrap_or(0));
        let [x1, y1, x2, y2] = original;
        if x1 >= x2 || y1 >= y2 {
            return Err(Refusal::Vanished);
        }
        let of = |(width, height): (u32, u32)| f64::from(width) * f64::from(height);
        Ok(Self { said, original, area: of((x2 - x1, y2 - y1)) / of(sizes.original) })
    }
}

/// The region's pixels of the original; all of it where the region is extremely long.
pub fn crop(original: &RgbImage, region: &Region) -> RgbImage {
    let [x1, y1, x2, y2] = region.original;
    let (width, height) = (x2 - x1, y2 - y1);
    if f64::from(width.max(height)) / f64::from(width.min(height)) >= WHOLE_ASPECT {
        return original.clone();
    }
    crop_imm(original, x1, y1, width, height).to_image()
}
