//! Reading the golden files, and the synthetic pictures they were made from.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::Value;

/// A file or folder under the project's `tests/golden`.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// `synth_rgb` of tests/golden/images/synth.py.
pub fn synth_rgb(height: usize, width: usize, seed: usize) -> RgbImage {
    let (high, wide, seed) = (height as u32, width as u32, seed as u32);
    let mut picture = RgbImage::new(wide, high);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        for (c, value) in (0_u32..).zip(&mut pixel.0) {
            let ramp = (x * 255 / (wide - 1).max(1) * (c + 1) + y * 255 / (high - 1).max(1) * (3 - c)) / 4;
            let check = if ((x >> 3) ^ (y >> 3) ^ c) & 1 == 1 { 96 } else { 0 };
            let mut hash = x
                .wrapping_mul(374_761_393)
                .wrapping_add(y.wrapping_mul(668_265_263))
                .wrapping_add(c.wrapping_mul(2_246_822_519))
                .wrapping_add(seed.wrapping_mul(3_266_489_917));
            hash ^= hash >> 13;
            hash = hash.wrapping_mul(1_274_126_177);
            hash ^= hash >> 16;
            let noise = if hash & 7 == 0 { hash >> 24 } else { 0 };
            *value = (ramp + check + noise) as u8;
        }
    }
    picture
}

/// FNV-1a, as the golden files write it.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> String {
    let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, mix))
}
