//! The picture seen through rippled water.

use super::{key, published, side};
use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, made, rows};
use crate::filter::{Border, Kernel, blur_plane};
use image::RgbImage;
use rayon::prelude::*;
use std::f32::consts::TAU;

pub(crate) const CAUSTIC_REFRACTION: Entry = Entry {
    name: "caustic_refraction",
    summary: "the picture bent and lit by rippled water (ImageNet-C-bar)",
    random: true,
    render: refraction,
};

/// Glass of this refractive index makes the waves.
const INDEX: f32 = 4.;

fn refraction(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (key, side) = (key(dose, CAUSTIC_REFRACTION.name), side(image));
    let time = key.between(0, 0.5, 2.);
    let size = key.between(1, 0.75, 1.25) * side;
    let level = published(dose, [2.35, 3.2, 4.9, 6.6, 9.15]);
    let (lens, light) = (0.05 * level * side, 0.2 * 255. * level);
    let (w, h) = (image.width() as usize, image.height() as usize);
    let mut ripples = vec![0.; w * h];
    ripples.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
        to.iter_mut().enumerate().for_each(|(x, t)| *t = caustics(y as f32 / size, x as f32 / size, time));
    });
    let soft = Kernel::gaussian(1., 4.);
    let ripples = blur_plane(&ripples, w, (&soft, &soft), Border::Mirror);
    let height = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && x < w as i64 && y < h as i64;
        if inside { ripples[y as usize * w + x as usize] } else { 0. }
    };
    rows!(image, |y, _, to| {
        for (x, t) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (column, line) = (x as i64, i64::from(y));
            // The published names of the sides are turned: its first axis runs down.
            let down = height(column, line + 1) - height(column, line - 1);
            let right = height(column + 1, line) - height(column - 1, line);
            let [dy, dx] = bent(down, right, lens);
            let lit = light * (down - right);
            *t = sampled(image, x as f32 + dx, y as f32 + dy).map(|v| byte(v + lit));
        }
    })
}

/// The brightness of light under waves at a place of a tile.
fn caustics(a: f32, b: f32, time: f32) -> f32 {
    let p = [a, b].map(|v| v.rem_euclid(1.) * TAU - 250.);
    let (mut i, mut c) = (p, 1f32);
    for n in 0..5u8 {
        let t = time * (1. - 3.5 / f32::from(n + 1));
        i = [p[0] + (t - i[0]).cos() + (t + i[1]).sin(), p[1] + (t - i[1]).sin() + (t + i[0]).cos()];
        let length = (p[0] * 0.005 / (i[0] + t).sin()).hypot(p[1] * 0.005 / (i[1] + t).cos());
        c += 1. / length;
    }
    (1.17 - (c / 5.).powf(1.4)).abs().powi(8).clamp(0., 1.)
}

/// How far a ray straight down is bent by a slope, in pixels along each axis.
fn bent(a: f32, b: f32, lens: f32) -> [f32; 2] {
    let length = (a * a + b * b + 1.).sqrt();
    if 1. / length >= 1. - 1e-3 {
        return [0.; 2];
    }
    let normal = [a / length, b / length];
    let angle = (1. / length).acos();
    let turned = (angle.sin() / INDEX).asin();
    // Along the slope: the part of the bent ray on the normal and the part across it.
    let (along, across) = (turned.cos(), turned.sin());
    let flat = (normal[0] * normal[0] + normal[1] * normal[1]).sqrt().max(1e-9);
    let reach = lens * (along * flat - across / length);
    [reach * normal[0] / flat, reach * normal[1] / flat]
}

/// The picture at a place between pixels; black lies around it.
fn sampled(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let pixel = |x: f32, y: f32| {
        let inside = x >= 0. && y >= 0. && x < image.width() as f32 && y < image.height() as f32;
        if inside { image.get_pixel(x as u32, y as u32).0.map(f32::from) } else { [0.; 3] }
    };
    let mix = |a: [f32; 3], b: [f32; 3], part: f32| made(|c| a[c] + (b[c] - a[c]) * part);
    let upper = mix(pixel(left, top), pixel(left + 1., top), fx);
    mix(upper, mix(pixel(left, top + 1.), pixel(left + 1., top + 1.), fx), fy)
}
