//! Fog: clouds added, the whole drawn back into the picture's range.

use super::plasma;
use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, rows};
use crate::random::Key;
use image::RgbImage;
use rayon::prelude::*;

pub(crate) const FOG: Entry = Entry {
    name: "fog",
    summary: "plasma clouds over the picture, as wide as it is (imagecorruptions)",
    random: true,
    render: fog,
};

fn fog(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (amount, decay, side) = fog_parts(dose, (image.width() as usize, image.height() as usize));
    let clouds = plasma(side, decay, Key::new(dose.seed, FOG.name));
    let brightest = image.par_chunks(1 << 16).map(|part| part.iter().copied().max().unwrap_or(0)).max();
    let brightest = f32::from(brightest.unwrap_or(0)) / 255.;
    let scale = brightest / (brightest + amount).max(f32::MIN_POSITIVE);
    rows!(image, |y, from, to| {
        let clouds = &clouds[y as usize * side..];
        for ((t, f), cloud) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0).zip(clouds) {
            *t = each(*f, |v| byte((f32::from(v) + 255. * amount * cloud) * scale));
        }
    })
}

/// How much fog, how fast its roughness falls off, and the side of its clouds.
pub(crate) fn fog_parts(dose: &Dose, (w, h): (usize, usize)) -> (f32, f32, usize) {
    let amount = dose.severity.constant(0., [1.5, 2., 2.5, 2.5, 3.]);
    let decay = dose.severity.constant(2., [2., 2., 1.7, 1.5, 1.4]);
    let side = w.max(h).next_power_of_two().max(4);
    (amount, decay, side)
}
