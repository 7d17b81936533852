//! One row on its way through an import: loaded, checked, filtered, changed.

use super::check;
use super::import::{Hooks, ImportOptions};
use super::records::Record;
use super::reject::{Kind, Reject};
use crate::load::mix;
use crate::{DecodeLimits, Encoded, Error, ImageRef, Result, Sample};
use image::RgbImage;
use std::sync::Arc;

/// What a row came to.
pub(super) struct Passed {
    /// The sample, and whatever a transform made of it besides.
    pub(super) samples: Vec<Sample>,
    /// Which output they go to.
    pub(super) output: usize,
    /// Of question and images; 0 where duplicates are kept.
    pub(super) content: u128,
}

/// Why a row does not pass.
type Fault = (Kind, String);

/// Works on one row.
pub(super) fn row(
    record: Record,
    options: &ImportOptions,
    hooks: Hooks,
) -> std::result::Result<(Record, Passed), Reject> {
    let passed = match &record.sample {
        Ok(sample) => pass(sample.clone(), options, hooks),
        Err(reason) => Err((Kind::Broken, reason.clone())),
    };
    match passed {
        Ok(passed) => Ok((record, passed)),
        Err((kind, reason)) => Err(record.reject(kind, reason)),
    }
}

fn broken(error: Error) -> Fault {
    (Kind::Broken, error.to_string())
}

fn pass(mut sample: Sample, options: &ImportOptions, hooks: Hooks) -> std::result::Result<Passed, Fault> {
    for image in &mut sample.images {
        *image = loaded(image).map_err(broken)?;
    }
    let images = check::check(&sample, &options.filter, DecodeLimits::default())?;
    let bytes: Vec<Encoded> = sample.images.iter().filter_map(in_memory).collect();
    let content = match options.filter.drop_duplicates {
        true => hash(std::iter::once(sample.problem.as_bytes()).chain(bytes.iter().map(|b| &b[..]))),
        false => 0,
    };
    let output = match (options.validation > 0., bytes.first()) {
        (true, Some(first)) => usize::from(share(hash([&first[..]])) < options.validation),
        (true, None) => usize::from(share(hash([sample.problem.as_bytes()])) < options.validation),
        (false, _) => 0,
    };
    if let Some(pixels) = options.shrink_to {
        shrink(&mut sample, &images, pixels)?;
    }
    // After shrinking, because that is what a model will be given.
    if let Some(measure) = hooks.measure {
        check::tokens(&sample, &options.filter, measure)?;
    }
    let samples = match hooks.transform {
        Some(transform) => transform(sample).map_err(broken)?,
        None => vec![sample],
    };
    Ok(Passed { samples, output, content })
}

fn shrink(sample: &mut Sample, images: &[Arc<RgbImage>], pixels: u64) -> std::result::Result<(), Fault> {
    for (k, (image, decoded)) in sample.images.iter_mut().zip(images).enumerate() {
        if let Some(small) = check::shrink(decoded, pixels).map_err(|reason| (Kind::Broken, reason))? {
            *image = small;
            let size = serde_json::json!([decoded.width(), decoded.height()]);
            sample.meta.insert(format!("resized_from_{k}"), size);
        }
    }
    Ok(())
}

/// The image with its bytes in memory, under its own name.
fn loaded(image: &ImageRef) -> Result<ImageRef> {
    match image {
        ImageRef::Path(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(ImageRef::Bytes { bytes: image.encoded(DecodeLimits::default())?, name })
        }
        ImageRef::Part { name, .. } => {
            Ok(ImageRef::Bytes { bytes: image.encoded(DecodeLimits::default())?, name: name.clone() })
        }
        other => Ok(other.clone()),
    }
}

fn in_memory(image: &ImageRef) -> Option<Encoded> {
    match image {
        ImageRef::Bytes { bytes, .. } => Some(bytes.clone()),
        _ => image.encoded(DecodeLimits::default()).ok(),
    }
}

/// FNV-1a with 128 bits, a separator after each piece; mixed in the end, since the last bytes of a short text reach
/// few of the high bits.
pub(super) fn hash<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u128 {
    let step = |h: u128, b: u8| (h ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let h = pieces.into_iter().fold(start, |h, piece| step(piece.iter().fold(h, |h, &b| step(h, b)), 0xff));
    let low = mix(h as u64);
    let high = mix((h >> 64) as u64 ^ low);
    u128::from(high) << 64 | u128::from(low)
}

/// A hash as a number in 0..1.
fn share(hash: u128) -> f64 {
    (hash >> 64) as u64 as f64 / (u64::MAX as f64 + 1.)
}
