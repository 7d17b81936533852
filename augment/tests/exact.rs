//! The deterministic corruptions beside imagecorruptions, pixel by pixel.
//! Oracle: `tests/golden/augment/make.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::{Severity, find};
use image::RgbImage;
use std::path::{Path, PathBuf};

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/augment").join(file)
}

fn open(file: &str) -> RgbImage {
    image::open(golden(file)).unwrap().to_rgb8()
}

/// Mean difference and its 99th percentile, in grey levels, over every seventh pixel as the goldens have them.
fn difference(ours: &RgbImage, theirs: &mut impl Iterator<Item = u8>) -> (f64, u8) {
    let sampled = ours.pixels().step_by(7).flat_map(|p| p.0);
    let mut apart: Vec<u8> = sampled.map(|v| v.abs_diff(theirs.next().unwrap())).collect();
    apart.sort_unstable();
    let mean = apart.iter().map(|v| f64::from(*v)).sum::<f64>() / apart.len() as f64;
    (mean, apart[(apart.len() - 1) * 99 / 100])
}

fn compare(name: &str, mean: f64, percentile: u8) {
    let theirs = open(&format!("exact-{name}.png"));
    let mut theirs = theirs.iter().copied();
    let (mut worst, mut worst_99) = (0f64, 0);
    for number in 0..7 {
        let image = open(&format!("image-{number}.png"));
        for severity in Severity::LEVELS {
            let ours = find(name).unwrap().apply(&image, severity, 1);
            let (m, p) = difference(&ours, &mut theirs);
            assert!(
                m <= mean && p <= percentile,
                "{name} {severity:?} image {number}: mean {m}, 99th percentile {p}"
            );
            (worst, worst_99) = (worst.max(m), worst_99.max(p));
        }
    }
    assert_eq!(theirs.next(), None);
    println!("{name}: mean difference at most {worst:.4}, 99th percentile at most {worst_99}");
}

#[test]
fn blurs_are_theirs() {
    compare("defocus_blur", 0.3, 1);
    compare("gaussian_blur", 0.3, 1);
    compare("zoom_blur", 0.3, 1);
}

#[test]
fn colours_are_theirs() {
    compare("brightness", 0.3, 1);
    compare("contrast", 0.3, 1);
    compare("saturate", 0.3, 1);
}

#[test]
fn pixels_are_theirs() {
    compare("pixelate", 0., 0);
}

#[test]
fn jpeg_is_pillows() {
    compare("jpeg_compression", 0., 0);
}

/// Oracle: `tests/golden/augment/make_hendrycks.py`.
#[test]
fn variants_are_imagenet_cs_own() {
    let (theirs, image) = (open("exact-hendrycks.png"), open("image-224.png"));
    let mut rows = theirs.rows();
    for (name, most) in [("zoom_blur_hendrycks", 1), ("pixelate_hendrycks", 0)] {
        for severity in Severity::LEVELS {
            let ours = find(name).unwrap().apply(&image, severity, 1);
            let pairs = ours.pixels().step_by(49).zip(rows.next().unwrap());
            let apart = |(a, b): (&image::Rgb<u8>, &image::Rgb<u8>)| {
                (0..3).map(|c| a.0[c].abs_diff(b.0[c])).max().unwrap()
            };
            assert!(pairs.map(apart).all(|d| d <= most), "{name} {severity:?}");
        }
    }
    assert!(rows.next().is_none());
}
