//! How an entry of the table is written down: its words and its two functions.

use crate::device::Plan;
use crate::{Corruption, Dose};
use image::RgbImage;

/// A corruption of the table.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) random: bool,
    /// Called with a severity above zero and at least one pixel.
    pub(crate) render: fn(&RgbImage, &Dose) -> RgbImage,
    /// The same as launches of kernels.
    pub(crate) kernels: fn(&mut Plan, &Dose),
}

impl Corruption for Entry {
    fn name(&self) -> &str {
        self.name
    }

    fn summary(&self) -> &str {
        self.summary
    }

    fn random(&self) -> bool {
        self.random
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        (self.render)(image, dose)
    }

    fn kernels(&self, plan: &mut Plan, dose: &Dose) -> bool {
        (self.kernels)(plan, dose);
        true
    }
}
