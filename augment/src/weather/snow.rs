//! Snow: a field of normals, enlarged, cut, drawn out along the wind, and added both ways up.

use crate::Dose;
use crate::blur::{Streak, clipped};
use crate::entry::Entry;
use crate::fast::{byte, each, rows, wide};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const SNOW: Entry = Entry {
    name: "snow",
    summary: "flakes along the wind and a whitened scene (ImageNet-C)",
    random: true,
    render: snow,
    kernels: crate::device::weather::snow,
};

fn snow(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let parts = Flakes::of(dose);
    let (mix, fade) = (parts.mix, parts.fade);
    let (flakes, width) = flakes(w, h, &parts, dose);
    rows!(image, |y, from, to| {
        let falling = &flakes[y as usize * width..][..w];
        let turned = &flakes[(h - 1 - y as usize) * width..][..w];
        let pixels = to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0);
        for ((t, f), (a, b)) in pixels.zip(falling.iter().zip(turned.iter().rev())) {
            let rgb = each(*f, f32::from);
            let white = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) * 1.5 + 127.5;
            let snow = fade * (a + b);
            *t = each(rgb, |v| byte(mix * v + (1. - mix) * v.max(white) + snow));
        }
    })
}

/// What the flakes are made of.
pub(crate) struct Flakes {
    /// Mean, deviation and enlargement of the field, and what of it is cut away.
    pub(crate) loc: f32,
    pub(crate) scale: f32,
    pub(crate) zoom: f64,
    pub(crate) cut: f32,
    pub(crate) wind: Streak,
    /// How much of the picture is kept, and how bright a flake is in greys.
    pub(crate) mix: f32,
    pub(crate) fade: f32,
}

impl Flakes {
    pub(crate) fn of(dose: &Dose) -> Self {
        let s = dose.severity;
        let radius = s.constant(10., [10., 12., 12., 12., 12.]);
        let sigma = s.constant(4., [4., 4., 8., 8., 12.]);
        let angle = Key::new(dose.seed, SNOW.name).between(0, -135., -45.);
        Self {
            loc: s.constant(0.1, [0.1, 0.2, 0.55, 0.55, 0.55]),
            scale: 0.3,
            zoom: f64::from(s.constant(3., [3., 2., 4., 4.5, 2.5]) * dose.pixel),
            cut: s.constant(0.5, [0.5, 0.5, 0.9, 0.85, 0.85]),
            wind: Streak::new(radius, sigma, angle, dose.pixel),
            mix: s.constant(1., [0.8, 0.7, 0.7, 0.65, 0.55]),
            // Below level 1 the flakes fade, as no constant of theirs makes them vanish.
            fade: 255. * s.levels().min(1.),
        }
    }
}

/// The flakes, 0..=1 in steps of a byte, in rows at least `w` long: the published code blurs the whole enlarged
/// field before it cuts it, so its own edges matter.
fn flakes(w: usize, h: usize, parts: &Flakes, dose: &Dose) -> (Vec<f32>, usize) {
    let Flakes { loc, scale, zoom, cut, .. } = *parts;
    let key = Key::new(dose.seed, SNOW.name);
    let (columns, lines) = (clipped(w, zoom), clipped(h, zoom));
    let width = columns.len();
    let mut field = vec![0.; width * lines.len()];
    field.par_chunks_mut(width).zip(&lines).for_each_init(
        || (vec![0.; w], vec![0.; w]),
        |(a, b), (to, line)| {
            wide!({
                key.row(line.at as u32).normals(a);
                key.row((line.at + line.next) as u32).normals(b);
                a.iter_mut().zip(b.iter()).for_each(|(a, b)| *a = loc + scale * (*a + (b - *a) * line.part));
                for (t, column) in to.iter_mut().zip(&columns) {
                    let v = a[column.at] + (a[column.at + column.next] - a[column.at]) * column.part;
                    *t = if v < cut { 0. } else { v.clamp(0., 1.) };
                }
            });
        },
    );
    let mut field = parts.wind.plane(&field, width);
    field.par_iter_mut().for_each(|v| *v = (*v * 255.).round_ties_even() * (1. / 255.));
    (field, width)
}
