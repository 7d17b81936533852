//! A picture at places between its pixels.

use crate::fast::{each, made};
use image::RgbImage;

/// The greys at (x, y), weighed from the four pixels around it; `outside` is the grey of what lies around the picture.
#[inline(always)]
pub(crate) fn bilinear(image: &RgbImage, (x, y): (f32, f32), outside: f32) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let (w, h) = (image.width() as i32, image.height() as i32);
    let pixel = |x: i32, y: i32| {
        if x < 0 || y < 0 || x >= w || y >= h {
            return [outside; 3];
        }
        let at = 3 * (y as usize * w as usize + x as usize);
        let data = image.as_raw();
        each([data[at], data[at + 1], data[at + 2]], f32::from)
    };
    let mix = |a: [f32; 3], b: [f32; 3], part: f32| made(|c| a[c] + (b[c] - a[c]) * part);
    // A place far outside must not run over at the next pixel.
    let (x, y) = ((left as i32).min(i32::MAX - 1), (top as i32).min(i32::MAX - 1));
    let upper = mix(pixel(x, y), pixel(x + 1, y), fx);
    mix(upper, mix(pixel(x, y + 1), pixel(x + 1, y + 1), fx), fy)
}
