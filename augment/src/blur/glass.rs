//! Frosted glass: a blur, pixels moved at random within a small square, a blur.

use crate::Dose;
use crate::entry::Entry;
use crate::filter::{Border, Kernel, blur_rows};
use crate::noise::Grain;
use crate::random::Key;
use image::RgbImage;

pub(crate) const GLASS: Entry = Entry {
    name: "glass_blur",
    summary: "frosted glass: pixels copied from up to 4 away, between two blurs (ImageNet-C)",
    random: true,
    render: glass,
    kernels: crate::device::blur::glass,
};

fn glass(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (kernel, reach, sweeps) = glass_parts(dose);
    let mut out = blur_rows(image, &kernel, Border::Edge);
    if reach > 0 {
        (0..sweeps).for_each(|sweep| shuffle(&mut out, sweep, reach, dose));
    }
    blur_rows(&out, &kernel, Border::Edge)
}

/// The blur, how far a pixel is moved and how often.
pub(crate) fn glass_parts(dose: &Dose) -> (Kernel, u32, u32) {
    let s = dose.severity;
    let kernel = Kernel::gaussian(s.constant(0., [0.7, 0.9, 1., 1.1, 1.5]) * dose.pixel, 4.);
    let reach = (s.constant(0., [1., 2., 2., 3., 4.]) * dose.pixel).round() as u32;
    let sweeps = s.constant(0., [2., 1., 3., 2., 2.]).round() as u32;
    (kernel, reach, sweeps)
}

/// One sweep from the bottom right: each pixel takes the value of one up to `reach` above or left and
/// `reach - 1` below or right.
///
/// The published code means to swap the two, but in numpy and in numba the second half of its swap reads what the
/// first half wrote: it is a copy. A pixel may copy what was copied a moment ago, so the order matters; a sweep runs
/// on one thread, and the GPU follows each pixel's chain of copies back instead.
fn shuffle(image: &mut RgbImage, sweep: u32, reach: u32, dose: &Dose) {
    let (w, h) = image.dimensions();
    let stride = 3 * w as usize;
    let (key, grain) = (Key::new(dose.seed, GLASS.name), Grain(dose.pixel));
    let move_by = |bits: u32| ((bits as u64 * u64::from(2 * reach)) >> 16) as usize;
    let data: &mut [u8] = image;
    for y in (reach + 1..=h.saturating_sub(reach)).rev() {
        let row = key.row(grain.cell(y) + sweep * h);
        for x in (reach + 1..=w.saturating_sub(reach)).rev() {
            let bits = row.bits(grain.cell(x));
            let (right, down) = (move_by(bits & 0xffff), move_by(bits >> 16));
            let from =
                (y as usize + down - reach as usize) * stride + 3 * (x as usize + right - reach as usize);
            data.copy_within(from..from + 3, y as usize * stride + 3 * x as usize);
        }
    }
}
