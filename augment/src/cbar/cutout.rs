//! Grey squares of a turned checkerboard.

use super::{key, pixels, published};
use crate::Dose;
use crate::entry::Entry;
use crate::math::turn;
use crate::random::Key;
use image::RgbImage;

pub(crate) const CHECKERBOARD: Entry = Entry {
    name: "checkerboard_cutout",
    summary: "squares of one colour of a turned checkerboard greyed at random (ImageNet-C-bar)",
    random: true,
    render: checkerboard,
    kernels: crate::device::cbar::checkerboard,
};

/// The board: how it is turned, the side of a square, and the share of one colour's squares that are cut out.
pub(crate) struct Board {
    pub(crate) key: Key,
    pub(crate) sin: f32,
    pub(crate) cos: f32,
    pub(crate) square: f32,
    pub(crate) share: f32,
}

impl Board {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize)) -> Self {
        let key = key(dose, CHECKERBOARD.name);
        let (sin, cos) = turn(key.draw(0));
        let square = (key.between(1, 0.1, 0.25) * w.min(h) as f32).max(1.);
        Self { key, sin, cos, square, share: 0.1 * published(dose, [2., 3., 4., 5., 6.]) }
    }
}

fn checkerboard(image: &RgbImage, dose: &Dose) -> RgbImage {
    let board = Board::of(dose, (image.width() as usize, image.height() as usize));
    let Board { key, sin, cos, square, share } = board;
    pixels(image, |x, y, v| {
        let column = ((cos * y + sin * x) / square).floor() as i32;
        let line = ((cos * x - sin * y) / square).floor() as i32;
        let cut = (column + line) & 1 == 0 && key.row(column as u32).uniform(line as u32) < share;
        if cut { [128.; 3] } else { v }
    })
}
