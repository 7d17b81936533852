//! Saturation.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, rows};
use image::RgbImage;

pub(crate) const SATURATE: Entry = Entry {
    name: "saturate",
    summary: "the saturation of HSV lowered (levels 1, 2) or raised (3 to 5) (ImageNet-C, validation set)",
    random: false,
    render: saturate,
    kernels: crate::device::noise::saturate,
};

/// With hue and value held, a channel's distance from the value is in proportion to the saturation. What has no hue
/// is red to the published code, so greys redden at levels 4 and 5.
fn saturate(image: &RgbImage, dose: &Dose) -> RgbImage {
    let (factor, plus) = saturation(dose);
    rows!(image, |_, from, to| {
        for (t, f) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0) {
            let high = f32::from(f[0].max(f[1]).max(f[2]));
            let delta = high - f32::from(f[0].min(f[1]).min(f[2]));
            if delta == 0. {
                let red = byte(high * (1. - plus) + 0.001);
                *t = [f[0], red, red];
                continue;
            }
            // (S' / S), S being delta / high.
            let ratio = ((delta * factor + plus * high) / delta).clamp(0., high / delta);
            *t = each(*f, |c| byte(high - (high - f32::from(c)) * ratio + 0.001));
        }
    })
}

/// What the saturation is multiplied by, and what is added to it.
pub(crate) fn saturation(dose: &Dose) -> (f32, f32) {
    let s = dose.severity;
    // 0.1 and 2 stand on either side of the identity; between them the change runs from 1.9, as far from it as 0.1.
    let lower = if s.levels() > 2. { 1.9 } else { 0.1 };
    let factor = s.constant(1., [0.3, lower, 2., 5., 20.]);
    let plus = s.constant(0., [0., 0., 0., 0.1, 0.2]);
    (factor, plus)
}
