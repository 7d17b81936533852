//! Large pixels.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::rows;
use crate::filter::box_resize;
use image::RgbImage;

pub(crate) const PIXELATE: Entry = Entry {
    name: "pixelate",
    summary: "shrunk to 0.6 to 0.25 by Pillow's box filter, enlarged by the nearest pixel (imagecorruptions)",
    random: false,
    render: |image, dose| enlarge_nearest(&reduced(image, dose), image.dimensions()),
    kernels: crate::device::geometry::pixelate,
};

pub(crate) const PIXELATE_HENDRYCKS: Entry = Entry {
    name: "pixelate_hendrycks",
    summary: "shrunk to 0.6 to 0.25 and enlarged by Pillow's box filter both times, as ImageNet-C itself",
    random: false,
    render: |image, dose| box_resize(&reduced(image, dose), image.width(), image.height()),
    kernels: crate::device::geometry::pixelate_hendrycks,
};

fn reduced(image: &RgbImage, dose: &Dose) -> RgbImage {
    let keep = pixels_kept(dose);
    box_resize(image, shrunk(image.width(), keep), shrunk(image.height(), keep))
}

/// How many of a side's pixels are left, as a share.
pub(crate) fn pixels_kept(dose: &Dose) -> f64 {
    let keep = dose.severity.constant(1., [0.6, 0.5, 0.4, 0.3, 0.25]);
    f64::from(keep) / f64::from(dose.pixel)
}

/// `n` times `keep` cut to a whole number, at least 1.
pub(crate) fn shrunk(n: u32, keep: f64) -> u32 {
    // The published constants are decimal: f32's 0.6 times 5 must not fall below 3.
    ((f64::from(n) * keep + 1e-5 * keep) as u32).clamp(1, n)
}

/// Pillow's `NEAREST`.
pub(crate) fn enlarge_nearest(small: &RgbImage, (w, h): (u32, u32)) -> RgbImage {
    let stride = 3 * small.width() as usize;
    let (columns, lines) = (nearest(small.width(), w), nearest(small.height(), h));
    rows!(&RgbImage::new(w, h), |y, _, to| {
        let row = small.as_raw()[lines[y as usize] * stride..][..stride].as_chunks::<3>().0;
        for (t, &x) in to.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            *t = row[x];
        }
    })
}

/// Which of `from` pixels stands at each of `to` places.
pub(crate) fn nearest(from: u32, to: u32) -> Vec<usize> {
    let step = f64::from(from) / f64::from(to);
    // Pillow adds the step up, and its rounding decides where a centre falls between two pixels.
    let places = std::iter::successors(Some(0.5 * step), |place| Some(place + step));
    places.take(to as usize).map(|place| (place as usize).min(from as usize - 1)).collect()
}
