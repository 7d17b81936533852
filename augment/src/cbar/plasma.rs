//! Coloured plasma: sines of sines.

use super::{key, pixels, published, side};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::made;
use image::RgbImage;
use std::f32::consts::PI;

pub(crate) const PLASMA: Entry = Entry {
    name: "plasma_noise",
    summary: "coloured plasma mixed in (ImageNet-C-bar)",
    random: true,
    render: plasma,
};

fn plasma(image: &RgbImage, dose: &Dose) -> RgbImage {
    let key = key(dose, PLASMA.name);
    let time = key.between(0, 0., 6. * PI);
    let rounds = 4 + key.pick(1, 3);
    let sharpness = key.between(2, 0.5, 1.);
    let scale = key.between(3, 0.075, 0.2) * side(image);
    let intensity = 6.4 * published(dose, [4.75, 7., 8.5, 9.25, 10.]);
    pixels(image, |x, y, v| {
        let colour = kernel(x / scale, y / scale, time, rounds, sharpness);
        made(|c| (1. - intensity / 255.) * v[c] + intensity * colour[c])
    })
}

fn kernel(mut x: f32, mut y: f32, time: f32, rounds: u32, sharpness: f32) -> [f32; 3] {
    let (mut wave, mut slow, mut fade, mut turn) = (1., 1., 1., 0.);
    for _ in 0..rounds {
        let a = (y * wave - turn + time / slow).cos() / fade;
        let b = (x * wave - turn + time / slow).sin() / fade;
        x += a - 0.3 * b;
        y += b + 0.3 * a;
        turn *= time * slow;
        wave *= 1.93;
        slow *= 1.15;
        fade *= 2.25 - sharpness;
    }
    [(x - time).sin(), ((x + y + time.sin()) * 0.5).sin(), (y + time).sin()]
}
