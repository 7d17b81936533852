//! The random corruptions beside imagecorruptions, as distributions: over 50 draws each, the means of measures agree
//! within three standard errors or five percent. Oracle: `tests/golden/augment/make.py`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::{Severity, find};
use image::RgbImage;
use serde_json::Value;
use std::path::Path;

/// The side of the square whose spectrum is taken.
const SIDE: usize = 64;
const EDGES: [f64; 7] = [0.01, 0.04, 0.08, 0.15, 0.25, 0.35, 0.5];
const MEASURES: [&str; 13] = [
    "mean r",
    "mean g",
    "mean b",
    "variance r",
    "variance g",
    "variance b",
    "psnr",
    "band 0",
    "band 1",
    "band 2",
    "band 3",
    "band 4",
    "band 5",
];

fn channel(image: &RgbImage, c: usize) -> impl Iterator<Item = f64> + Clone {
    image.pixels().map(move |p| f64::from(p[c]))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0., 0.), |(s, n), v| (s + v, n + 1.));
    sum / n
}

/// The transform of `n` numbers a stride apart.
fn fourier(values: &[[f64; 2]], stride: usize, n: usize) -> Vec<[f64; 2]> {
    if n == 1 {
        return vec![values[0]];
    }
    let (even, odd) = (fourier(values, 2 * stride, n / 2), fourier(&values[stride..], 2 * stride, n / 2));
    let turned = |k: usize| {
        let (sin, cos) = (-std::f64::consts::TAU * k as f64 / n as f64).sin_cos();
        let [re, im] = odd[k % (n / 2)];
        [re * cos - im * sin, re * sin + im * cos]
    };
    (0..n).map(|k| (even[k % (n / 2)], turned(k))).map(|(e, o)| [e[0] + o[0], e[1] + o[1]]).collect()
}

/// The transform of each line of a square of complex numbers, transposed.
fn transform(lines: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut out = vec![[0.; 2]; SIDE * SIDE];
    for (y, line) in lines.chunks(SIDE).enumerate() {
        fourier(line, 1, SIDE).into_iter().enumerate().for_each(|(k, v)| out[k * SIDE + y] = v);
    }
    out
}

/// Mean power of the damage's grey value in six rings of its spectrum.
fn bands(image: &RgbImage, clean: &RgbImage) -> [f64; 6] {
    let grey = |i: &RgbImage, x, y| i.get_pixel(x, y).0.iter().map(|v| f64::from(*v)).sum::<f64>() / 3.;
    let place = |i: usize| ((i % SIDE) as u32, (i / SIDE) as u32);
    let damage: Vec<[f64; 2]> = (0..SIDE * SIDE)
        .map(|i| (place(i), place(i)))
        .map(|((x, y), _)| [grey(image, x, y) - grey(clean, x, y), 0.])
        .collect();
    let spectrum = transform(&transform(&damage));
    let frequency = |i: usize| (if i < SIDE / 2 { i as f64 } else { i as f64 - SIDE as f64 }) / SIDE as f64;
    let radius = |i: usize| frequency(i % SIDE).hypot(frequency(i / SIDE));
    std::array::from_fn(|band| {
        let ring = (0..SIDE * SIDE).filter(|i| (EDGES[band]..EDGES[band + 1]).contains(&radius(*i)));
        mean(ring.map(|i| spectrum[i][0].powi(2) + spectrum[i][1].powi(2)))
    })
}

fn measures(image: &RgbImage, clean: &RgbImage) -> Vec<f64> {
    let means = [0, 1, 2].map(|c| mean(channel(image, c)));
    let variances = [0, 1, 2].map(|c| mean(channel(image, c).map(|v| (v - means[c]).powi(2))));
    let mse = mean(image.iter().zip(clean.iter()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)));
    [&means[..], &variances, &[10. * (255f64.powi(2) / mse).log10()], &bands(image, clean)].concat()
}

fn numbers(row: &Value, key: &str) -> Vec<f64> {
    row[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn draws_are_distributed_as_theirs() {
    compare("random.json", "image-0.png");
}

/// Oracle: `tests/golden/augment/make_hendrycks.py`.
#[test]
fn draws_of_variants_are_distributed_as_imagenet_cs() {
    compare("hendrycks.json", "image-224.png");
}

fn compare(golden: &str, clean: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/augment");
    let golden: Value = serde_json::from_slice(&std::fs::read(folder.join(golden)).unwrap()).unwrap();
    let clean = image::open(folder.join(clean)).unwrap().to_rgb8();
    let draws = golden["draws"].as_u64().unwrap();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (row, theirs) in golden["table"].as_object().unwrap() {
        let (name, level) = row.split_once(' ').unwrap();
        let severity = Severity::level(level.parse().unwrap()).unwrap();
        let corruption = find(name).unwrap();
        let ours: Vec<Vec<f64>> =
            (0..draws).map(|seed| measures(&corruption.apply(&clean, severity, seed), &clean)).collect();
        for (i, (mean_of, sd)) in numbers(theirs, "mean").into_iter().zip(numbers(theirs, "sd")).enumerate() {
            let average = mean(ours.iter().map(|m| m[i]));
            let spread = mean(ours.iter().map(|m| (m[i] - average).powi(2)));
            let error = ((spread + sd * sd) / draws as f64).sqrt();
            compared += 1;
            if (average - mean_of).abs() > (3. * error).max(0.05 * mean_of.abs()) {
                wrong.push(format!("{row} {}: {average:.5} +- {error:.3}, theirs {mean_of:.5}", MEASURES[i]));
            }
        }
    }
    println!("{compared} measures compared");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}
