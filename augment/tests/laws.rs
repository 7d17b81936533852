//! What must hold of every corruption: a new one is tested by being in the table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::{CORRUPTIONS, Corruption, Severity, find, list};
use image::{Rgb, RgbImage};

/// A picture with gradients, colour, an edge and texture that falls off with its frequency, as photographs have.
fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| {
        let (u, v) = (x as f32 / w as f32, y as f32 / h as f32);
        let wave = |f: f32, a: f32| a * (x as f32 * f + 1.7 * v).sin() * (y as f32 * f * 0.8 + u).cos();
        let texture = wave(0.13, 14.) + wave(0.31, 9.) + wave(0.73, 6.) + wave(1.5, 4.);
        let disk = if (u - 0.4).hypot(v - 0.5) < 0.25 { 60. } else { 0. };
        Rgb([40. + 150. * u + texture, 70. + 100. * v + disk, 110. + 60. * (u - v) - texture + disk]
            .map(|c| c as u8))
    })
}

fn damage(a: &RgbImage, b: &RgbImage) -> f64 {
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    a.iter().zip(b.iter()).map(square).sum::<f64>() / a.len() as f64
}

/// Over several seeds, as one draw may be lucky.
fn mean_damage(c: &dyn Corruption, image: &RgbImage, severity: Severity) -> f64 {
    (0..8).map(|seed| damage(image, &c.apply(image, severity, seed))).sum::<f64>() / 8.
}

#[test]
fn severity_zero_is_the_identity() {
    for c in CORRUPTIONS {
        assert_eq!(c.apply(&picture(61, 37), Severity::ZERO, 7), picture(61, 37), "{}", c.name());
    }
}

/// Whose strongest level does less damage than its first.
const TOP_IS_WEAKER: &str = "elastic_transform_hendrycks";

/// Where the published constants themselves do not rise from level to level.
const UNEVEN: &[(&str, &str)] = &[
    ("glass_blur", "levels 2, 4 and 5 have fewer sweeps than 1 and 3"),
    ("fog", "levels 3 and 4 add the same amount of fog, of another grain"),
    ("fog_hendrycks", "as fog"),
    (
        TOP_IS_WEAKER,
        "levels 1 and 2 pull corners five and ten times as far as the others, which pull the sheet",
    ),
    ("frost", "level 4 keeps less of the picture than level 3 but adds no more frost"),
    ("saturate", "level 2 takes colour away and level 3 doubles it"),
    ("snow", "level 3 has another kind of flake than level 2 and does as much damage"),
];

#[test]
fn more_severity_is_more_damage() {
    for c in CORRUPTIONS {
        let image = picture(160, 120);
        let d = Severity::LEVELS.map(|s| mean_damage(*c, &image, s));
        let even = UNEVEN.iter().all(|(name, _)| *name != c.name());
        assert!(d[0] > 0. && (d[4] > d[0] || c.name() == TOP_IS_WEAKER), "{}: {d:?}", c.name());
        assert!(d.is_sorted_by(|a, b| a < b) || !even, "{}: {d:?}", c.name());
    }
}

#[test]
fn severity_between_levels_is_damage_between() {
    for c in CORRUPTIONS {
        let image = picture(160, 120);
        let at = |share| mean_damage(*c, &image, Severity::fraction(share).unwrap());
        // Of the one whose top is weaker, up to its strongest level.
        let most = if c.name() == TOP_IS_WEAKER { 0.4 } else { 1. };
        let (a, b, d) = (at(0.1), at(0.5 * most), at(most));
        assert!(a > 0. && a < b && b < d, "{}: {a} {b} {d}", c.name());
    }
}

#[test]
fn the_seed_decides_and_nothing_else() {
    for c in CORRUPTIONS {
        let once = c.apply(&picture(96, 64), Severity::LEVELS[2], 7);
        assert_eq!(once, c.apply(&picture(96, 64), Severity::LEVELS[2], 7), "{}", c.name());
        assert_eq!(c.random(), once != c.apply(&picture(96, 64), Severity::LEVELS[2], 8), "{}", c.name());
    }
}

#[test]
fn threads_do_not_show() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    for c in CORRUPTIONS {
        let on = |n| pool(n).install(|| c.apply(&picture(130, 90), Severity::LEVELS[3], 5));
        let one = on(1);
        assert!([2, 3, 8].into_iter().all(|n| on(n) == one), "{}", c.name());
    }
}

#[test]
fn any_size_is_kept() {
    for c in CORRUPTIONS {
        for (w, h) in [(1, 1), (1, 40), (40, 1), (2, 3), (7, 5), (33, 500), (31, 32), (257, 3)] {
            for severity in Severity::LEVELS.into_iter().chain([Severity::fraction(0.03).unwrap()]) {
                let out = c.apply(&picture(w, h), severity, 3);
                assert_eq!(out.dimensions(), (w, h), "{}", c.name());
            }
        }
        assert!(c.apply(&RgbImage::new(0, 5), Severity::LEVELS[4], 3).is_empty());
    }
}

#[test]
fn names_are_one_each_and_found() {
    for (i, c) in CORRUPTIONS.iter().enumerate() {
        assert_eq!(CORRUPTIONS.iter().position(|d| d.name() == c.name()), Some(i), "{}", c.name());
        assert_eq!(find(c.name()).unwrap().name(), c.name());
        assert!(c.summary().len() > 20, "{}", c.name());
    }
    assert_eq!(list("all").unwrap().len(), CORRUPTIONS.len());
    assert!(find("gausian_noise").unwrap_err().to_string().contains("gaussian_noise"));
    assert!(list("most").unwrap_err().to_string().contains("all"));
}
