//! What weather and light do.

use crate::fast::{byte, rows};
use crate::{Corruption, Dose};
use image::RgbImage;

/// The value of HSV raised. With hue and saturation held, every channel is multiplied by the same ratio of the
/// new value to the old, so no conversion is needed.
#[derive(Debug)]
pub(crate) struct Brightness;

impl Corruption for Brightness {
    fn name(&self) -> &str {
        "brightness"
    }

    fn summary(&self) -> &str {
        "daylight: the value of HSV raised (ImageNet-C)"
    }

    fn random(&self) -> bool {
        false
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let plus = 255. * dose.severity.constant(0., [0.1, 0.2, 0.3, 0.4, 0.5]);
        rows(image, |_, from, to| {
            for (t, f) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<3>().0) {
                let value = f32::from(f[0].max(f[1]).max(f[2]));
                let raised = (value + plus).min(255.);
                *t = f.map(|c| if value > 0. { byte(f32::from(c) * raised / value) } else { byte(raised) });
            }
        })
    }
}
