//! Counter-based randomness: a draw depends on (seed, purpose, split, index) and on nothing else.

use crate::Split;
use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The stream for one image of one task.
pub(crate) fn stream(seed: u64, purpose: &str, split: Split, index: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv(purpose.as_bytes()).to_le_bytes());
    key[16] = split as u8;
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index as u64);
    rng
}

/// FNV-1a.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// Draws images until one belongs to `split`. A bit of the pixels' hash decides where an image belongs, so train and
/// test share none, whatever the seeds.
pub(crate) fn for_split<T>(split: Split, mut draw: impl FnMut() -> (RgbImage, T)) -> (RgbImage, T) {
    loop {
        let (image, scene) = draw();
        // The high bits of FNV mix best.
        if fnv(image.as_raw()) >> 63 == split as u64 {
            return (image, scene);
        }
    }
}

/// A uniformly drawn element; `items` must not be empty.
pub(crate) fn pick<'a, T>(rng: &mut ChaCha8Rng, items: &'a [T]) -> &'a T {
    &items[rng.random_range(0..items.len())]
}

/// `0..n` in random order.
pub(crate) fn permutation(rng: &mut ChaCha8Rng, n: usize) -> Vec<usize> {
    let mut out: Vec<_> = (0..n).collect();
    for i in (1..n).rev() {
        out.swap(i, rng.random_range(0..=i));
    }
    out
}
