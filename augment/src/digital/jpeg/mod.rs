//! What JPEG loses, as libjpeg loses it: its colour conversion, 4:2:0 chroma, integer transforms, tables and
//! smooth upsampling. The entropy code loses nothing and is left out.

use crate::fast::{wide, widest};
use image::RgbImage;
use rayon::prelude::*;

mod colour;
mod dct;
mod tables;

use tables::Quantiser;

/// A picture's planes, padded to whole blocks. Chroma is halved both ways.
struct Planes {
    /// Columns of the luma plane, a multiple of 16.
    wide: usize,
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

/// The picture after having been written as JPEG of `quality` (1 to 100) and read again.
pub(crate) fn compress(image: &RgbImage, quality: u32) -> RgbImage {
    let planes = Planes::coded(image, &Quantiser::luma(quality), &Quantiser::chroma(quality));
    let (w, h) = (image.width() as usize, image.height() as usize);
    let mut out = RgbImage::new(image.width(), image.height());
    let space = || (vec![0; planes.wide], vec![0; planes.wide], vec![0; planes.wide / 2 + 2]);
    out.par_chunks_mut(3 * w).enumerate().for_each_init(space, |(blue, red, sums), (y, to)| {
        let half = planes.wide / 2;
        wide!(colour::upsample(&planes.blue, half, (w, h), y, sums, blue));
        wide!(colour::upsample(&planes.red, half, (w, h), y, sums, red));
        wide!(colour::to_rgb(&planes.luma[y * planes.wide..], blue, red, to));
    });
    out
}

impl Planes {
    /// The planes as a decoder has them, made a row of 16x16 units at a time.
    fn coded(image: &RgbImage, luma: &Quantiser, chroma: &Quantiser) -> Self {
        let (w, h) = (image.width() as usize, image.height() as usize);
        let (wide_to, high_to) = (w.next_multiple_of(16), h.next_multiple_of(16));
        let plane = |share: usize| vec![0; wide_to * high_to / share];
        let mut planes = Self { wide: wide_to, luma: plane(1), blue: plane(4), red: plane(4) };
        let units = planes.luma.par_chunks_mut(16 * wide_to).zip(planes.blue.par_chunks_mut(4 * wide_to));
        units.zip(planes.red.par_chunks_mut(4 * wide_to)).enumerate().for_each(|(unit, ((l, b), r))| {
            // Each by itself: all in one is too long for the compiler to inline.
            wide!(colour::to_planes(image, unit, l, b, r));
            for (plane, columns, quantiser) in
                [(l, wide_to, luma), (b, wide_to / 2, chroma), (r, wide_to / 2, chroma)]
            {
                for row in plane.chunks_exact_mut(8 * columns) {
                    for left in (0..columns).step_by(8 * dct::LANES) {
                        widest(dct::Coded { row: &mut *row, columns, left, quantiser });
                    }
                }
            }
        });
        planes
    }
}

/// The quantiser's steps for luma and for chroma.
pub(crate) fn jpeg_steps(quality: u32) -> [[[i32; 8]; 8]; 2] {
    [Quantiser::luma(quality).step, Quantiser::chroma(quality).step]
}
