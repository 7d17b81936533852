//! Snow: a field of normals, enlarged, cut, drawn out along the wind, and added both ways up.

use crate::Dose;
use crate::blur::{Streak, clipped};
use crate::entry::Entry;
use crate::fast::{byte, rows, wide};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const SNOW: Entry = Entry {
    name: "snow",
    summary: "flakes along the wind and a whitened scene (ImageNet-C)",
    random: true,
    render: snow,
};

fn snow(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let mix = dose.severity.constant(1., [0.8, 0.7, 0.7, 0.65, 0.55]);
    // Below level 1 the flakes fade, as no constant of theirs makes them vanish.
    let fade = 255. * dose.severity.levels().min(1.);
    let (flakes, width) = flakes(w, h, dose);
    rows(image, |y, from, to| {
        let falling = &flakes[y as usize * width..][..w];
        let turned = &flakes[(h - 1 - y as usize) * width..][..w];
        let pixels = to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0);
        for ((t, f), (a, b)) in pixels.zip(falling.iter().zip(turned.iter().rev())) {
            let rgb = f.map(f32::from);
            let white = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) * 1.5 + 127.5;
            let snow = fade * (a + b);
            *t = rgb.map(|v| byte(mix * v + (1. - mix) * v.max(white) + snow));
        }
    })
}

/// The flakes, 0..=1 in steps of a byte, in rows at least `w` long: the published code blurs the whole enlarged
/// field before it cuts it, so its own edges matter.
fn flakes(w: usize, h: usize, dose: &Dose) -> (Vec<f32>, usize) {
    let s = dose.severity;
    let (loc, scale) = (s.constant(0.1, [0.1, 0.2, 0.55, 0.55, 0.55]), 0.3);
    let zoom = f64::from(s.constant(3., [3., 2., 4., 4.5, 2.5]) * dose.pixel);
    let cut = s.constant(0.5, [0.5, 0.5, 0.9, 0.85, 0.85]);
    let radius = s.constant(10., [10., 12., 12., 12., 12.]);
    let sigma = s.constant(4., [4., 4., 8., 8., 12.]);
    let key = Key::new(dose.seed, SNOW.name);
    let (columns, lines) = (clipped(w, zoom, None), clipped(h, zoom, None));
    let width = columns.len();
    let mut field = vec![0.; width * lines.len()];
    field.par_chunks_mut(width).zip(&lines).for_each_init(
        || (vec![0.; w], vec![0.; w]),
        |(a, b), (to, line)| {
            wide(|| {
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
    let mut field = Streak::new(radius, sigma, key.between(0, -135., -45.), dose.pixel).plane(&field, width);
    field.par_iter_mut().for_each(|v| *v = (*v * 255.).round_ties_even() * (1. / 255.));
    (field, width)
}
