//! Bitmap text, for drawn tasks and for captions.

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage};

/// Side of a glyph's cell at scale 1.
pub(crate) const CELL: u32 = 8;

/// Paints `text` with its upper left corner at `(x, y)`, each font pixel `scale` wide; what is outside is cut off.
/// Characters beyond ASCII become `?`.
pub(crate) fn paint(image: &mut RgbImage, (x, y): (i64, i64), scale: u32, colour: [u8; 3], text: &str) {
    for (k, c) in text.chars().enumerate() {
        let glyph = BASIC_LEGACY.get(c as usize).unwrap_or(&BASIC_LEGACY['?' as usize]);
        let left = x + k as i64 * i64::from(CELL * scale);
        for dy in 0..CELL * scale {
            for dx in 0..CELL * scale {
                let on = glyph[(dy / scale) as usize] >> (dx / scale) & 1 == 1;
                let (px, py) = (left + i64::from(dx), y + i64::from(dy));
                let inside =
                    px >= 0 && py >= 0 && px < i64::from(image.width()) && py < i64::from(image.height());
                if on && inside {
                    image.put_pixel(px as u32, py as u32, Rgb(colour));
                }
            }
        }
    }
}

/// Width of `text` in pixels.
pub(crate) fn width(text: &str, scale: u32) -> u32 {
    text.chars().count() as u32 * CELL * scale
}
