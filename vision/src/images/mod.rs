//! From a file to the patches that the vision tower reads, as transformers' processors do it.
//!
//! [`open`] and [`decode`] give an upright RGB picture under [`Limits`]; an [`ImageProcessor`] resizes it
//! and cuts it into [`Patches`]. Nothing here knows of tokens, tensors or models.

mod alpha;
mod decode;
mod patches;
mod processor;
mod resize;
mod settings;
mod smart_resize;
mod truncation;

pub use decode::{Limits, decode, open};
pub use patches::Patches;
pub use processor::ImageProcessor;

use crate::Error;

/// An [`Error::Image`] about the picture `place`.
fn unusable(place: impl ToString, reason: impl ToString) -> Error {
    Error::Image { place: place.to_string(), reason: reason.to_string() }
}
