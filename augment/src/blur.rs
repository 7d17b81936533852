//! Blurs.

use crate::filter::{Border, gaussian_kernel, separable};
use crate::{Corruption, Dose};
use image::RgbImage;

/// scikit-image's Gaussian: cut at four standard deviations, the edge repeated.
#[derive(Debug)]
pub(crate) struct Gaussian;

impl Corruption for Gaussian {
    fn name(&self) -> &str {
        "gaussian_blur"
    }

    fn summary(&self) -> &str {
        "a Gaussian blur (ImageNet-C, validation set)"
    }

    fn random(&self) -> bool {
        false
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        let sigma = dose.severity.constant(0., [1., 2., 3., 4., 6.]) * dose.pixel;
        separable(image, &gaussian_kernel(sigma, 4.), Border::Edge)
    }
}
