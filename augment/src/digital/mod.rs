//! What processing and storage do.

use crate::entry::Entry;

mod contrast;
mod elastic;
mod jpeg;
mod pixelate;
mod saturate;

pub(crate) use contrast::CONTRAST;
pub(crate) use elastic::ELASTIC;
pub(crate) use jpeg::compress;
pub(crate) use pixelate::PIXELATE;
pub(crate) use saturate::SATURATE;

pub(crate) const JPEG: Entry = Entry {
    name: "jpeg_compression",
    summary: "JPEG of quality 25 to 7, as libjpeg writes and reads it (ImageNet-C)",
    random: false,
    render: |image, dose| {
        let quality = dose.severity.constant(100., [25., 18., 15., 10., 7.]);
        compress(image, quality.round() as u32)
    },
};
