//! Elastic distortion.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, made, wide};
use crate::filter::{Border, Kernel, blur_plane};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const ELASTIC: Entry = Entry {
    name: "elastic_transform",
    summary: "a rubber sheet pulled about smoothly, in proportion to the picture's height (imagecorruptions)",
    random: true,
    render: elastic,
};

fn elastic(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let (reach, down, along) = elastic_parts(dose, (w, h));
    let field = |purpose| {
        let key = Key::new(dose.seed, purpose);
        let mut plane = vec![0.; w * h];
        plane.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
            let row = key.row(y as u32);
            wide!({
                to.iter_mut().enumerate().for_each(|(x, t)| *t = reach * (2. * row.uniform(x as u32) - 1.));
            });
        });
        blur_plane(&plane, w, (&down, &along), Border::Mirror)
    };
    let [right, below] = ELASTIC_FIELDS.map(field);
    warp(image, &right, &below)
}

/// Whose random numbers move pixels to the right and down.
pub(crate) const ELASTIC_FIELDS: [&str; 2] = ["elastic_transform x", "elastic_transform y"];

/// How far a raw draw moves, and the Gaussians that smooth the draws down and along.
pub(crate) fn elastic_parts(dose: &Dose, (w, h): (usize, usize)) -> (f32, Kernel, Kernel) {
    let alpha = 250. * dose.severity.constant(0., [0.05, 0.065, 0.085, 0.1, 0.12]);
    // Both axes go by the height, as published.
    let reach = 0.005 * h as f32 * alpha;
    let (down, along) = (Kernel::gaussian(0.01 * h as f32, 3.), Kernel::gaussian(0.01 * w as f32, 3.));
    (reach, down, along)
}

/// Each pixel read from where its displacement (pixels right and down) points, between four neighbours.
pub(crate) fn warp(image: &RgbImage, right: &[f32], down: &[f32]) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let stride = 3 * w;
    let mut out = RgbImage::new(image.width(), image.height());
    let moves = right.par_chunks(w).zip(down.par_chunks(w));
    out.par_chunks_mut(stride).zip(moves).enumerate().for_each(|(y, (to, (right, down)))| {
        wide!({
            let targets = to.as_chunks_mut::<3>().0.iter_mut().zip(right.iter().zip(down));
            for (x, (t, (dx, dy))) in targets.enumerate() {
                let (column, row) = (split(x as f32 + dx), split(y as f32 + dy));
                *t = between(image.as_raw(), (w, h), column, row);
            }
        });
    });
    out
}

/// A coordinate as its whole part and the rest.
#[inline(always)]
fn split(x: f32) -> (i64, f32) {
    let whole = x.floor();
    (whole as i64, x - whole)
}

/// The grey values at a place between four pixels; the border is mirrored.
#[inline(always)]
fn between(data: &[u8], (w, h): (usize, usize), (x, fx): (i64, f32), (y, fy): (i64, f32)) -> [u8; 3] {
    let inside = |i: i64, n: usize| if i >= 0 && i < n as i64 { i as usize } else { Border::Mirror.at(i, n) };
    let (x0, x1, y0, y1) = (inside(x, w), inside(x + 1, w), inside(y, h), inside(y + 1, h));
    let pixel = |x: usize, y: usize| {
        let at = 3 * (y * w + x);
        each([data[at], data[at + 1], data[at + 2]], f32::from)
    };
    let (a, b, c, d) = (pixel(x0, y0), pixel(x1, y0), pixel(x0, y1), pixel(x1, y1));
    made(|i| {
        let (top, low) = (a[i] + (b[i] - a[i]) * fx, c[i] + (d[i] - c[i]) * fx);
        byte(top + (low - top) * fy + 0.001)
    })
}
