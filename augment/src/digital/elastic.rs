//! Elastic distortion.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, four, made, rows, wide};
use crate::filter::{Border, Kernel, blur_plane};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const ELASTIC: Entry = Entry {
    name: "elastic_transform",
    summary: "a rubber sheet pulled about smoothly, in proportion to the picture's height (imagecorruptions)",
    random: true,
    render: |image, dose| {
        let sheet = Sheet::of(dose, (image.width() as usize, image.height() as usize));
        elastic(image, &sheet, dose.seed)
    },
    kernels: crate::device::geometry::elastic,
};

pub(crate) const ELASTIC_HENDRYCKS: Entry = Entry {
    name: "elastic_transform_hendrycks",
    summary: "three corners of a triangle pulled, then the sheet, by numbers of pixels, as ImageNet-C itself",
    random: true,
    render: |image, dose| {
        let (skewed, sheet) = hendrycks(dose, (image.width() as usize, image.height() as usize));
        elastic(&affine(image, &skewed), &sheet, dose.seed)
    },
    kernels: crate::device::geometry::elastic_hendrycks,
};

fn elastic(image: &RgbImage, sheet: &Sheet, seed: u64) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let field = |purpose| {
        let key = Key::new(seed, purpose);
        let mut plane = vec![0.; w * h];
        plane.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
            let row = key.row(y as u32);
            wide!({
                let values = to.iter_mut().enumerate();
                values.for_each(|(x, t)| *t = sheet.reach * (2. * row.uniform(x as u32) - 1.));
            });
        });
        blur_plane(&plane, w, (&sheet.down, &sheet.along), Border::Mirror)
    };
    let [right, below] = ELASTIC_FIELDS.map(field);
    warp(image, &right, &below)
}

/// Whose random numbers move pixels to the right and down.
pub(crate) const ELASTIC_FIELDS: [&str; 2] = ["elastic_transform x", "elastic_transform y"];

/// The rubber sheet: how far a raw draw moves, and the Gaussians that smooth the draws down and along.
pub(crate) struct Sheet {
    pub(crate) reach: f32,
    pub(crate) down: Kernel,
    pub(crate) along: Kernel,
}

impl Sheet {
    pub(crate) fn of(dose: &Dose, (w, h): (usize, usize)) -> Self {
        let alpha = 250. * dose.severity.constant(0., [0.05, 0.065, 0.085, 0.1, 0.12]);
        let kernel = |n: usize| Kernel::gaussian(0.01 * n as f32, 3.);
        // The reach goes by the height on both axes, as published.
        Self { reach: 0.005 * h as f32 * alpha, down: kernel(h), along: kernel(w) }
    }
}

/// What ImageNet-C does: where each place of a skewed picture is read from (`x' = m0 x + m1 y + m2`, `y'` so too), and
/// the sheet. Its constants are pixels of its pictures, 244 of which it meant to be a side.
pub(crate) fn hendrycks(dose: &Dose, (w, h): (usize, usize)) -> ([f32; 6], Sheet) {
    let constant = |levels: [f32; 5]| 244. * dose.pixel * dose.severity.constant(0., levels);
    let reach = constant([2., 2., 0.05, 0.07, 0.12]);
    let kernel = Kernel::gaussian(constant([0.7, 0.08, 0.01, 0.01, 0.01]), 3.);
    let pull = constant([0.1, 0.2, 0.02, 0.02, 0.02]);
    let key = Key::new(dose.seed, ELASTIC_HENDRYCKS.name);
    // The published code takes the height for x here.
    let (middle, s) = ([h / 2, w / 2].map(|n| n as f64), (w.min(h) / 3) as f64);
    let corners = [[s, s], [s, -s], [-s, -s]].map(|[x, y]| [middle[0] + x, middle[1] + y]);
    let draw = |i: u32| f64::from(key.between(i, -pull, pull));
    let pulled: [[f64; 2]; 3] =
        std::array::from_fn(|i| std::array::from_fn(|c| corners[i][c] + draw((2 * i + c) as u32)));
    (affine_between(pulled, corners), Sheet { reach, down: kernel.clone(), along: kernel })
}

/// The affine map that takes three points to three others; nothing is moved where they lie on a line.
fn affine_between(from: [[f64; 2]; 3], to: [[f64; 2]; 3]) -> [f32; 6] {
    let side = |p: [[f64; 2]; 3], i: usize| [p[i][0] - p[i + 1][0], p[i][1] - p[i + 1][1]];
    let (a, b) = (side(from, 0), side(from, 1));
    let area = a[0] * b[1] - a[1] * b[0];
    if area.abs() < 1e-6 {
        return [1., 0., 0., 0., 1., 0.];
    }
    let row = |c: usize| {
        let (u, v) = (side(to, 0)[c], side(to, 1)[c]);
        let (x, y) = ((u * b[1] - v * a[1]) / area, (v * a[0] - u * b[0]) / area);
        [x, y, to[0][c] - x * from[0][0] - y * from[0][1]]
    };
    let [[a, b, c], [d, e, f]] = [row(0), row(1)];
    [a, b, c, d, e, f].map(|v| v as f32)
}

/// The picture read through an affine map, reflected about its edges, rounded.
fn affine(image: &RgbImage, [a, b, c, d, e, f]: &[f32; 6]) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let pixel = |x: f32, y: f32| {
        let at = |v: f32, n: usize| Border::Reflect.at(v as i64, n) as u32;
        each(image.get_pixel(at(x, w), at(y, h)).0, f32::from)
    };
    rows!(image, |y, _, to| {
        let y = y as f32;
        for (x, t) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let x = x as f32;
            let (sx, sy) = (a * x + b * y + c, d * x + e * y + f);
            let (left, top) = (sx.floor(), sy.floor());
            let (fx, fy) = (sx - left, sy - top);
            let (p, q) = (pixel(left, top), pixel(left + 1., top));
            let (r, s) = (pixel(left, top + 1.), pixel(left + 1., top + 1.));
            *t = made(|i| {
                let (upper, lower) = (p[i] + (q[i] - p[i]) * fx, r[i] + (s[i] - r[i]) * fx);
                byte(upper + (lower - upper) * fy + 0.5)
            });
        }
    })
}

/// Each pixel read from where its displacement (pixels right and down) points, between four neighbours.
pub(crate) fn warp(image: &RgbImage, right: &[f32], down: &[f32]) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let stride = 3 * w;
    let mut out = RgbImage::new(image.width(), image.height());
    let moves = right.par_chunks(w).zip(down.par_chunks(w));
    let rows = out.par_chunks_mut(stride).zip(moves).enumerate();
    let space = || (vec![Place::default(); w], vec![0f32; stride + 1]);
    rows.for_each_init(space, |(places, sums), (y, (to, (right, down)))| {
        wide!({
            for (x, ((p, dx), dy)) in places.iter_mut().zip(right).zip(down).enumerate() {
                let (x, y) = (x as f32 + dx, y as f32 + dy);
                let (left, top) = (x.floor(), y.floor());
                *p = Place { left: left as i32, top: top as i32, right: x - left, down: y - top };
            }
            for (x, place) in places.iter().enumerate() {
                // The fourth is the next pixel's first, which is written after it.
                sums[3 * x..3 * x + 4].copy_from_slice(&between(image.as_raw(), (w, h), place));
            }
            for (t, s) in to.iter_mut().zip(sums.iter()) {
                *t = byte(s + 0.001);
            }
        });
    });
    out
}

/// A place between four pixels: the upper left one, and how far it is from there.
#[derive(Clone, Copy, Default)]
struct Place {
    left: i32,
    top: i32,
    right: f32,
    down: f32,
}

/// The grey values at a place between four pixels, and one of a neighbour's; the border is mirrored.
#[inline(always)]
fn between(data: &[u8], (w, h): (usize, usize), place: &Place) -> [f32; 4] {
    let (x, y) = (place.left as usize, place.top as usize);
    let inside = place.left >= 0 && place.top >= 0 && x + 2 < w && y + 1 < h;
    let corners = if inside {
        let at = 3 * (y * w + x);
        [at, at + 3, at + 3 * w, at + 3 * w + 3]
    } else {
        let mirror = |i: i32, n: usize| Border::Mirror.at(i64::from(i), n);
        let (x0, x1) = (mirror(place.left, w), mirror(place.left + 1, w));
        let (y0, y1) = (mirror(place.top, h), mirror(place.top + 1, h));
        made(|i| 3 * ([y0, y1][i / 2] * w + [x0, x1][i % 2]))
    };
    let pixel = |at: usize| -> [f32; 4] {
        if inside { each(four(data, at), f32::from) } else { made(|c| f32::from(data[at + c.min(2)])) }
    };
    let (a, b, c, d) = (pixel(corners[0]), pixel(corners[1]), pixel(corners[2]), pixel(corners[3]));
    made(|i| {
        let (top, low) = (a[i] + (b[i] - a[i]) * place.right, c[i] + (d[i] - c[i]) * place.right);
        top + (low - top) * place.down
    })
}
