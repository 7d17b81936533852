//! Any decoded pixel type to opaque RGB.
//!
//! Transparency is laid over white with Pillow's own integer rounding, so that a half-transparent logo has
//! the same bytes as in a pipeline built on transformers 5.

use image::{DynamicImage, RgbImage};

/// The picture on white; `None` for pixel types that no supported format has (floats).
pub(super) fn over_white(picture: DynamicImage) -> Option<RgbImage> {
    let (width, height) = (picture.width(), picture.height());
    let rgb = match picture {
        DynamicImage::ImageRgb8(rgb) => return Some(rgb),
        DynamicImage::ImageLuma8(grey) => opaque::<1>(grey.as_raw()),
        DynamicImage::ImageLuma16(grey) => opaque::<1>(&high_bytes(grey.as_raw())),
        DynamicImage::ImageRgb16(rgb) => opaque::<3>(&high_bytes(rgb.as_raw())),
        DynamicImage::ImageLumaA8(pixels) => composite::<2>(pixels.as_raw()),
        DynamicImage::ImageLumaA16(pixels) => composite::<2>(&high_bytes(pixels.as_raw())),
        DynamicImage::ImageRgba8(pixels) => composite::<4>(pixels.as_raw()),
        DynamicImage::ImageRgba16(pixels) => composite::<4>(&high_bytes(pixels.as_raw())),
        _ => return None,
    };
    RgbImage::from_raw(width, height, rgb)
}

fn high_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().map(|value| (value >> 8) as u8).collect()
}

/// Pixels of `N` channels (grey or RGB) as RGB.
fn opaque<const N: usize>(values: &[u8]) -> Vec<u8> {
    values.as_chunks::<N>().0.iter().flat_map(|pixel| [0, 1, 2].map(|c| pixel[c % N])).collect()
}

/// Pixels of `N` channels, the last of them alpha, as RGB over white.
fn composite<const N: usize>(values: &[u8]) -> Vec<u8> {
    let blend = |pixel: &[u8; N]| [0, 1, 2].map(|c| on_white(pixel[c % (N - 1)], pixel[N - 1]));
    values.as_chunks::<N>().0.iter().flat_map(blend).collect()
}

/// Pillow's `alpha_composite` for an opaque white ground: fixed point with seven fractional bits.
fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    let scaled = (value * alpha + 255 * (255 - alpha) + 0x80) << 7;
    ((((scaled >> 8) + scaled) >> 8) >> 7) as u8
}
