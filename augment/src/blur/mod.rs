//! Blurs: of a lens, of motion, of glass, of zooming.

use crate::Dose;
use crate::entry::Entry;
use crate::filter::{Border, Kernel, blur_rows};

mod defocus;
mod glass;
mod motion;
mod zoom;

pub(crate) use defocus::{DEFOCUS, Disk};
pub(crate) use glass::{GLASS, glass_parts};
pub(crate) use motion::{MOTION, Streak, motion_streak};
pub(crate) use zoom::{Cut, Line, ZOOM, ZOOM_HENDRYCKS, clipped, zoom_factors, zoomed};

/// scikit-image's Gaussian: cut at four standard deviations, the edge repeated.
pub(crate) const GAUSSIAN: Entry = Entry {
    name: "gaussian_blur",
    summary: "a Gaussian blur of 1 to 6 pixels (ImageNet-C, validation set)",
    random: false,
    render: |image, dose| blur_rows(image, &Kernel::gaussian(gaussian_sigma(dose), 4.), Border::Edge),
    kernels: crate::device::blur::gaussian,
};

/// In pixels of the picture.
pub(crate) fn gaussian_sigma(dose: &Dose) -> f32 {
    dose.severity.constant(0., [1., 2., 3., 4., 6.]) * dose.pixel
}
