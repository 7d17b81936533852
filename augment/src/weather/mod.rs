//! What weather and light do.

use crate::Dose;
use crate::entry::Entry;
use crate::fast::{byte, each, rows};

mod fog;
mod frost;
mod plasma;
mod plate;
mod snow;
pub(crate) mod spatter;

pub(crate) use fog::{Clouds, FOG, FOG_HENDRYCKS};
pub use frost::Frost;
pub(crate) use frost::{FROST, FrostParts};
pub(crate) use plasma::{plasma, plasma_levels};
pub(crate) use plate::plates;
pub(crate) use snow::{Flakes, SNOW};
pub(crate) use spatter::SPATTER;

/// The value of HSV raised. With hue and saturation held, every channel is multiplied by the same ratio of the
/// new value to the old, so no conversion is needed.
pub(crate) const BRIGHTNESS: Entry = Entry {
    name: "brightness",
    summary: "daylight: the value of HSV raised by 0.1 to 0.5 (ImageNet-C)",
    random: false,
    render: |image, dose| {
        let plus = brightness_added(dose);
        rows!(image, |_, from, to| {
            for (t, f) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0) {
                let value = f32::from(f[0].max(f[1]).max(f[2]));
                let raised = (value + plus).min(255.);
                // Black has no hue: it turns grey.
                let (ratio, grey) = if value > 0. { (raised / value, 0.) } else { (0., raised) };
                *t = each(*f, |c| byte(f32::from(c) * ratio + grey + 0.001));
            }
        })
    },
    kernels: crate::device::noise::brightness,
};

/// In greys.
pub(crate) fn brightness_added(dose: &Dose) -> f32 {
    255. * dose.severity.constant(0., [0.1, 0.2, 0.3, 0.4, 0.5])
}
