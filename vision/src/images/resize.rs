//! Antialiased bicubic resizing of 8-bit RGB in two passes.
//!
//! The order and the rounding are the contract: first the rows are resized to the new width and rounded to
//! bytes, then the columns, as Pillow before version 13 and torchvision do. One pass over both axes, or the
//! other order, differs by up to 20 levels at hard edges. A side that keeps its length is left alone.

use std::borrow::Cow;
use std::num::NonZeroU32;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{
    FilterType, ImageView, ImageViewMut, ResizeAlg, ResizeError, ResizeOptions, Resizer,
};
use image::RgbImage;
use rayon::prelude::*;

/// Pixels below which another thread costs more than it saves.
const PIXELS_PER_THREAD: usize = 1 << 16;

/// The picture at `height` x `width`, itself where it has that size; an error text where the library refuses
/// a size.
pub(super) fn bicubic(picture: &RgbImage, height: u32, width: u32) -> Result<Cow<'_, RgbImage>, String> {
    let mut resized = Cow::Borrowed(picture);
    for (high, wide) in [(picture.height(), width), (height, width)] {
        if resized.dimensions() != (wide, high) {
            resized = Cow::Owned(pass(&resized, high, wide)?);
        }
    }
    Ok(resized)
}

/// One pass: only one side may differ.
fn pass(picture: &RgbImage, height: u32, width: u32) -> Result<RgbImage, String> {
    let source = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.as_raw())
        .map_err(|error| error.to_string())?;
    let mut resized = RgbImage::new(width, height);
    let mut target =
        TypedImage::<U8x3>::from_buffer(width, height, &mut resized).map_err(|error| error.to_string())?;
    split(&source, &mut target).map_err(|error| error.to_string())?;
    Ok(resized)
}

/// Runs the pass in strips along the axis that does not change, so that strips are independent.
fn split(source: &TypedImageRef<'_, U8x3>, target: &mut TypedImage<'_, U8x3>) -> Result<(), ResizeError> {
    let pixels = source.width().max(target.width()) as usize * source.height().max(target.height()) as usize;
    let parts = (pixels / PIXELS_PER_THREAD).clamp(1, rayon::current_num_threads());
    let by_rows = source.height() == target.height();
    let kept = if by_rows { target.height() } else { target.width() };
    let parts = u32::try_from(parts).unwrap_or(1).min(kept);
    let (Some(kept), Some(parts)) =
        (NonZeroU32::new(kept), NonZeroU32::new(parts).filter(|parts| parts.get() > 1))
    else {
        return one(source, target);
    };
    if by_rows {
        let pieces = source.split_by_height(0, kept, parts).zip(target.split_by_height_mut(0, kept, parts));
        let Some((from, mut to)) = pieces else { return Ok(()) };
        from.par_iter().zip(to.par_iter_mut()).try_for_each(|(from, to)| one(from, to))
    } else {
        let pieces = source.split_by_width(0, kept, parts).zip(target.split_by_width_mut(0, kept, parts));
        let Some((from, mut to)) = pieces else { return Ok(()) };
        from.par_iter().zip(to.par_iter_mut()).try_for_each(|(from, to)| one(from, to))
    }
}

fn one(
    source: &impl ImageView<Pixel = U8x3>,
    target: &mut impl ImageViewMut<Pixel = U8x3>,
) -> Result<(), ResizeError> {
    // Catmull-Rom is the bicubic kernel with a = -0.5.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize_typed(source, target, &options.use_alpha(false))
}
