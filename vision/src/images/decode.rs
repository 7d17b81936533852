//! Files to upright RGB pictures, without trusting the file.
//!
//! Decides what is refused before memory is spent on it. Reads what the `image` crate was built for: JPEG,
//! PNG, WebP and BMP. EXIF orientation is applied, as transformers' `load_image` does.

use std::{fs::File, io::Cursor, io::Read, path::Path};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::{alpha, truncation, unusable};
use crate::{Error, Result};

/// What a picture may cost, checked on the header before anything is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of the decoded picture, width times height.
    pub max_pixels: u64,
    /// Most bytes of the encoded file.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 100 million pixels (an 8K picture has 33 million) and 256 MiB.
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_bytes: 256 << 20 }
    }
}

/// Reads the picture at `path`; see [`decode`].
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Image`] as [`decode`].
pub fn open(path: &Path, limits: &Limits) -> Result<RgbImage> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    check_bytes(length, &place, limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // A pipe has no length to check: one byte over the limit is read and then refused.
    file.take(limits.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
    decode(&bytes, &place, limits)
}

/// Decodes an encoded picture; `place` names it in errors.
///
/// The result is upright (EXIF orientation applied), RGB (grey repeated, palettes looked up, CMYK
/// converted, 16-bit channels cut to their high byte as Pillow does for colour) and opaque: transparency
/// is laid over white, as transformers 5 and `qwen_vl_utils` do.
///
/// # Errors
/// [`Error::Image`] for a picture over a limit, of an unknown format, damaged or cut short.
pub fn decode(bytes: &[u8], place: &str, limits: &Limits) -> Result<RgbImage> {
    check_bytes(bytes.len() as u64, place, limits)?;
    if bytes.is_empty() {
        return Err(unusable(place, "the file is empty"));
    }
    let failed = |error: image::ImageError| unusable(place, error);
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| unusable(place, error))?;
    let Some(format) = reader.format() else {
        return Err(unusable(place, "not a JPEG, PNG, WebP or BMP file"));
    };
    if format == ImageFormat::Jpeg && !truncation::jpeg_is_complete(bytes) {
        return Err(unusable(place, format!("JPEG data end too early, after {} bytes", bytes.len())));
    }
    reader.limits(decoder_limits(limits));
    let mut decoder = reader.into_decoder().map_err(failed)?;
    check_pixels(decoder.dimensions(), place, limits)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    let color = picture.color();
    alpha::over_white(picture).ok_or_else(|| unusable(place, format!("pixels of type {color:?}")))
}

/// Room for eight bytes a pixel (16-bit RGBA, the widest) and for metadata.
fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut inner = image::Limits::no_limits();
    inner.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(64 << 20));
    inner
}

fn check_bytes(length: u64, place: &str, limits: &Limits) -> Result<()> {
    if length > limits.max_bytes {
        return Err(unusable(place, format!("{length} bytes, the limit is {}", limits.max_bytes)));
    }
    Ok(())
}

fn check_pixels((width, height): (u32, u32), place: &str, limits: &Limits) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > limits.max_pixels {
        let reason = format!("{width}x{height} is {pixels} pixels, should be 1 to {}", limits.max_pixels);
        return Err(unusable(place, reason));
    }
    Ok(())
}
