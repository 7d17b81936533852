//! Grey squares of a turned checkerboard.

use super::{key, pixels, published, side};
use crate::Dose;
use crate::entry::Entry;
use image::RgbImage;

pub(crate) const CHECKERBOARD: Entry = Entry {
    name: "checkerboard_cutout",
    summary: "squares of one colour of a turned checkerboard greyed at random (ImageNet-C-bar)",
    random: true,
    render: checkerboard,
};

fn checkerboard(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = key(dose, CHECKERBOARD.name);
    let (sin, cos) = key.between(0, 0., std::f32::consts::TAU).sin_cos();
    let square = (key.between(1, 0.1, 0.25) * side(image)).max(1.);
    let fraction = 0.1 * published(dose, [2., 3., 4., 5., 6.]);
    pixels(image, |x, y, v| {
        let column = ((cos * y + sin * x) / square).floor() as i32;
        let line = ((cos * x - sin * y) / square).floor() as i32;
        let cut = (column + line) % 2 == 0 && key.row(column as u32).uniform(line as u32) < fraction;
        if cut { [128.; 3] } else { v }
    })
}
