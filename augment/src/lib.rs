//! Image corruptions: what makes a picture bad, by how much, and with which random numbers.
//!
//! A [`Corruption`] is a pure function of an image, a [`Severity`] and a seed. It knows nothing of
//! models, tasks or data sets. To add one: write its file, its `mod` line and a line in
//! [`CORRUPTIONS`]; the laws in `tests/` run on it by its being there.

use image::RgbImage;
use std::fmt::Debug;

mod blur;
mod cbar;
mod compose;
#[cfg(feature = "cuda")]
pub mod cuda;
mod degrade;
pub mod device;
mod digital;
mod entry;
mod error;
mod fast;
mod files;
mod filter;
mod font;
mod mask;
mod math;
mod noise;
mod random;
mod scale;
mod scan;
mod severity;
mod sheet;
mod table;
mod weather;

pub use compose::{Chain, OneOf, parse};
pub use error::Error;
pub use files::{Job, Limits, Outcome, Picture, open};
pub use scale::Scale;
pub use severity::{Dose, Severity};
pub use sheet::{Sheet, sheet};
pub use table::{CORRUPTIONS, LISTS, find, list};
pub use weather::Frost;

/// A pure function of an image, a severity and a seed: the same bytes on any number of threads.
pub trait Corruption: Debug + Sync + Send {
    /// The name in recipes, commands and reports.
    fn name(&self) -> &str;

    /// One line on what it does to a picture and where its constants are from.
    fn summary(&self) -> &str;

    /// Whether another seed gives another picture.
    fn random(&self) -> bool;

    /// The corrupted picture, of the same size. Called through [`apply`](Self::apply), so `dose.severity` is
    /// above zero and the image has at least one pixel.
    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage;

    /// Adds the launches that do on a device what [`render`](Self::render) does; false if it has none. Called through
    /// [`Plan::add`](device::Plan::add).
    fn kernels(&self, _plan: &mut device::Plan, _dose: &Dose) -> bool {
        false
    }

    /// A corrupted copy of `image`, of the same size; severity 0 gives the image itself.
    fn apply(&self, image: &RgbImage, severity: Severity, seed: u64) -> RgbImage {
        self.apply_dose(image, &Dose::new(severity, seed))
    }

    /// [`apply`](Self::apply) with the size of a constant's pixel given too (see [`Dose::pixel`]).
    fn apply_dose(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        if dose.severity == Severity::ZERO || image.is_empty() {
            return image.clone();
        }
        self.render(image, dose)
    }
}

impl<C: Corruption + ?Sized> Corruption for &C {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn summary(&self) -> &str {
        (**self).summary()
    }

    fn random(&self) -> bool {
        (**self).random()
    }

    fn render(&self, image: &RgbImage, dose: &Dose) -> RgbImage {
        (**self).render(image, dose)
    }

    fn kernels(&self, plan: &mut device::Plan, dose: &Dose) -> bool {
        (**self).kernels(plan, dose)
    }
}
