//! Blurs: of a lens, of motion, of glass, of zooming.

use crate::entry::Entry;
use crate::filter::{Border, Kernel, blur_rows};

mod defocus;
mod glass;
mod motion;
mod zoom;

pub(crate) use defocus::DEFOCUS;
pub(crate) use glass::GLASS;
pub(crate) use motion::{MOTION, Streak};
pub(crate) use zoom::{ZOOM, clipped};

/// scikit-image's Gaussian: cut at four standard deviations, the edge repeated.
pub(crate) const GAUSSIAN: Entry = Entry {
    name: "gaussian_blur",
    summary: "a Gaussian blur of 1 to 6 pixels (ImageNet-C, validation set)",
    random: false,
    render: |image, dose| {
        let sigma = dose.severity.constant(0., [1., 2., 3., 4., 6.]) * dose.pixel;
        blur_rows(image, &Kernel::gaussian(sigma, 4.), Border::Edge)
    },
};
