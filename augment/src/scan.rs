//! What scanners do: too few pixels, and a sheet laid on badly. Constants are this project's own.

use crate::Dose;
use crate::digital::shrunk;
use crate::entry::Entry;
use crate::fast::{byte, each, made, rows, wide};
use crate::filter::{Border, Kernel, bilinear, blur_plane, box_resize};
use crate::math::sine;
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const LOW_RESOLUTION: Entry = Entry {
    name: "low_resolution_scan",
    summary: "scanned at 1/2 to 1/8 of the resolution and enlarged smoothly",
    random: false,
    render: low_resolution,
    kernels: crate::device::scan::low_resolution,
};

pub(crate) const DOCUMENT: Entry = Entry {
    name: "document_scan",
    summary: "a sheet laid on askew: skew, faded ink, moire and the paper's grain",
    random: true,
    render: document,
    kernels: crate::device::scan::document,
};

/// The two pixels that a place stands between and the second one's weight, for each of `to` places over `from`.
pub(crate) fn between(from: u32, to: u32) -> Vec<(usize, usize, f32)> {
    let last = f64::from(from) - 1.;
    let place = |i: u32| ((f64::from(i) + 0.5) * f64::from(from) / f64::from(to) - 0.5).clamp(0., last);
    let split = |x: f64| (x as usize, (x as usize + 1).min(last as usize), x.fract() as f32);
    (0..to).map(|i| split(place(i))).collect()
}

/// What is left of a picture's width and height.
pub(crate) fn scanned(dose: &Dose, (w, h): (u32, u32)) -> (u32, u32) {
    let keep = dose.severity.constant(1., [0.5, 0.35, 0.25, 0.18, 0.125]);
    (shrunk(w, f64::from(keep)), shrunk(h, f64::from(keep)))
}

fn low_resolution(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (sw, sh) = scanned(dose, image.dimensions());
    let small = box_resize(image, sw, sh);
    let (columns, lines) = (between(sw, image.width()), between(sh, image.height()));
    let stride = 3 * small.width() as usize;
    rows!(image, |y, _, to| {
        let (a, b, part) = lines[y as usize];
        let line = |y: usize| &small.as_raw()[y * stride..][..stride];
        let mix = |(a, b): (&u8, &u8)| f32::from(*a) + (f32::from(*b) - f32::from(*a)) * part;
        let row: Vec<f32> = line(a).iter().zip(line(b)).map(mix).collect();
        for (t, (a, b, part)) in to.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            *t = made(|c| byte(row[3 * a + c] + (row[3 * b + c] - row[3 * a + c]) * part + 0.5));
        }
    })
}

/// The sheet's place and looks, all in proportion to the severity.
pub(crate) struct Sheet {
    pub(crate) sin: f32,
    pub(crate) cos: f32,
    pub(crate) fade: f32,
    pub(crate) moire: f32,
    pub(crate) grain: f32,
    /// Radians a pixel of the scanner's two gratings.
    pub(crate) grating: [[f32; 2]; 2],
    /// Of the paper's normals, and what smooths them.
    pub(crate) paper: Key,
    pub(crate) soft: Kernel,
}

impl Sheet {
    pub(crate) fn of(dose: &Dose) -> Self {
        let key = Key::new(dose.seed, DOCUMENT.name);
        let s = dose.severity;
        let side = if key.draw(0) < 0.5 { -1. } else { 1. };
        let skew = side * key.between(1, 0.7, 1.) * s.constant(0., [0.5, 1., 2., 3., 4.5]);
        let (sin, cos) = skew.to_radians().sin_cos();
        let wave = |i: u32| {
            let (angle, waves) = (key.between(i, 0., std::f32::consts::PI), key.between(i + 1, 0.09, 0.16));
            [angle.cos(), angle.sin()].map(|v| std::f32::consts::TAU * v * waves / dose.pixel)
        };
        Self {
            sin,
            cos,
            fade: s.constant(0., [0.15, 0.25, 0.35, 0.5, 0.65]),
            moire: s.constant(0., [2., 4., 7., 11., 16.]),
            grain: s.constant(0., [2., 4., 6., 9., 12.]),
            grating: [wave(2), wave(4)],
            paper: Key::new(dose.seed, "document_scan paper"),
            soft: Kernel::gaussian(0.8 * dose.pixel, 3.),
        }
    }
}

/// The grey of the scanner's lid, which lies around the sheet.
pub(crate) const LID: f32 = 248.;

fn document(image: &RgbImage, dose: &Dose) -> RgbImage {
    let sheet = Sheet::of(dose);
    let (w, h) = (image.width() as usize, image.height() as usize);
    let mut paper = vec![0.; w * h];
    paper.par_chunks_mut(w).enumerate().for_each(|(y, to)| wide!(sheet.paper.row(y as u32).normals(to)));
    let paper = blur_plane(&paper, w, (&sheet.soft, &sheet.soft), Border::Mirror);
    let (mx, my) = (0.5 * (w as f32 - 1.), 0.5 * (h as f32 - 1.));
    rows!(image, |y, _, to| {
        for (x, t) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (dx, dy) = (x as f32 - mx, y as f32 - my);
            let (sx, sy) = (sheet.cos * dx + sheet.sin * dy + mx, sheet.cos * dy - sheet.sin * dx + my);
            let phase = |[a, b]: [f32; 2]| sine(a * x as f32 + b * y as f32);
            let moire = sheet.moire * phase(sheet.grating[0]) * phase(sheet.grating[1]);
            let noise = sheet.grain * 2. * paper[y as usize * w + x] + moire;
            let ink = bilinear(image, (sx, sy), LID);
            *t = each(ink, |v| byte(v + (245. - v).max(0.) * sheet.fade + noise + 0.5));
        }
    })
}
