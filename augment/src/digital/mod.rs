//! What processing and storage do.

use crate::Dose;
use crate::entry::Entry;

mod contrast;
mod elastic;
mod jpeg;
mod pixelate;
mod saturate;

pub(crate) use contrast::{CONTRAST, contrast_kept};
pub(crate) use elastic::{ELASTIC, ELASTIC_FIELDS, ELASTIC_HENDRYCKS, Sheet, hendrycks};
pub(crate) use jpeg::{compress, jpeg_steps};
pub(crate) use pixelate::{PIXELATE, PIXELATE_HENDRYCKS, nearest, pixels_kept, shrunk};
pub(crate) use saturate::{SATURATE, saturation};

pub(crate) const JPEG: Entry = Entry {
    name: "jpeg_compression",
    summary: "JPEG of quality 25 to 7, as libjpeg writes and reads it (ImageNet-C)",
    random: false,
    render: |image, dose| compress(image, jpeg_quality(dose)),
    kernels: crate::device::geometry::jpeg,
};

pub(crate) fn jpeg_quality(dose: &Dose) -> u32 {
    dose.severity.constant(100., [25., 18., 15., 10., 7.]).round() as u32
}
