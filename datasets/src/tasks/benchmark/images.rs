//! An image that several questions are about is held once, and its questions lie side by side.

use crate::{ImageRef, Sample};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A benchmark may hold this many encoded bytes of images in memory; those of files stay there.
const MAX_BYTES: u64 = 8 << 30;

/// The images so far, by their content.
#[derive(Default)]
pub(super) struct Shared {
    known: HashMap<u64, Vec<ImageRef>>,
    bytes: u64,
}

impl Shared {
    /// Replaces the bytes of `sample` by those of an equal image that is held already.
    pub(super) fn hold(&mut self, sample: &mut Sample) -> Result<(), String> {
        for image in &mut sample.images {
            let (hash, bytes) = match &*image {
                ImageRef::Bytes { bytes, .. } => (hash(bytes), bytes.len() as u64),
                // It stays in its file.
                ImageRef::Part { part, .. } => (part.hash(), 0),
                ImageRef::Rgb(_) | ImageRef::Path(_) => continue,
            };
            let held = self.known.entry(hash).or_default();
            if let Some(known) = held.iter().find(|other| other.is_same(image)) {
                *image = known.clone();
                continue;
            }
            self.bytes += bytes;
            if self.bytes > MAX_BYTES {
                return Err(format!("holds more than {MAX_BYTES} bytes of images: use its layout of files"));
            }
            held.push(image.clone());
        }
        Ok(())
    }
}

/// Brings the samples of one image together, at the place of its first, and numbers the images.
pub(super) fn side_by_side(samples: &mut Vec<Sample>) -> Vec<usize> {
    let mut numbers = HashMap::new();
    let mut keyed: Vec<(usize, Sample)> = Vec::with_capacity(samples.len());
    for sample in samples.drain(..) {
        let next = numbers.len();
        keyed.push((*numbers.entry(key(&sample)).or_insert(next), sample));
    }
    keyed.sort_by_key(|(number, _)| *number);
    let (images, sorted): (Vec<_>, Vec<_>) = keyed.into_iter().unzip();
    *samples = sorted;
    images
}

/// What two samples of one image share: the file or the place in it, or the very bytes in memory.
fn key(sample: &Sample) -> String {
    match sample.images.first() {
        Some(ImageRef::Path(path)) => path.display().to_string(),
        Some(ImageRef::Bytes { bytes, .. }) => format!("{:p}", bytes.as_ptr()),
        Some(ImageRef::Part { part, .. }) => part.place(),
        _ => sample.id.clone(),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
