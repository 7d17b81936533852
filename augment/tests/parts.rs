//! Compositions, scales and sheets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::{
    Chain, Corruption, Frost, Limits, OneOf, Scale, Severity, Sheet, find, list, parse, sheet,
};
use image::{Rgb, RgbImage};

fn picture(w: u32, h: u32) -> RgbImage {
    RgbImage::from_fn(w, h, |x, y| Rgb([(x * 5) as u8, (y * 3) as u8, ((x ^ y) * 7) as u8]))
}

fn apply(c: &dyn Corruption, seed: u64) -> RgbImage {
    c.apply(&picture(64, 48), Severity::LEVELS[2], seed)
}

#[test]
fn a_chain_is_its_parts_in_order() {
    let chain = parse("contrast+pixelate").unwrap();
    let by_hand = apply(find("contrast").unwrap(), 0);
    let by_hand = find("pixelate").unwrap().apply(&by_hand, Severity::LEVELS[2], 0);
    assert_eq!(apply(&*chain, 9), by_hand);
    assert_ne!(apply(&*parse("pixelate+contrast").unwrap(), 9), by_hand);
    assert_eq!((chain.name(), chain.random()), ("contrast+pixelate", false));
}

#[test]
fn the_parts_of_a_chain_draw_apart() {
    let twice =
        Chain::new(vec![Box::new(find("block_mask").unwrap()), Box::new(find("block_mask").unwrap())]);
    let black = |i: &RgbImage| i.pixels().filter(|p| p.0 == [0; 3]).count();
    assert!(black(&apply(&twice, 1)) > black(&apply(find("block_mask").unwrap(), 1)));
}

#[test]
fn a_choice_draws_every_part_and_no_other() {
    let choice = parse("contrast|brightness|pixelate@5").unwrap();
    let level_5 = find("pixelate").unwrap().apply(&picture(64, 48), Severity::LEVELS[4], 0);
    let parts = [apply(find("contrast").unwrap(), 0), apply(find("brightness").unwrap(), 0), level_5];
    let mut drawn = [0; 3];
    for seed in 0..90 {
        let out = apply(&*choice, seed);
        drawn[parts.iter().position(|p| *p == out).unwrap()] += 1;
    }
    assert!(drawn.iter().all(|n| *n > 15), "{drawn:?}");
    assert!(choice.random());
    assert_eq!(OneOf::of_list("extra").unwrap().name(), "any:extra");
    assert_eq!(choice.apply(&picture(9, 9), Severity::ZERO, 3), picture(9, 9));
}

#[test]
fn what_cannot_be_read_is_said() {
    let error = |spec: &str| parse(spec).unwrap_err().to_string();
    assert!(error("contrast+").contains("empty"));
    assert!(error("contrast+fogg").contains("`fogg`"));
    assert!(error("contrast@x").contains("`x`"));
    assert!(error("contrast@6").contains('6'));
    assert!(error("any:nothing").contains("roma-seen"));
}

#[test]
fn lists_hold_what_they_say() {
    assert_eq!(list("common").unwrap().len(), 15);
    assert_eq!(list("extra").unwrap().len(), 4);
    assert_eq!(list("c-bar").unwrap().len(), 10);
    let (seen, unseen) = (list("roma-seen").unwrap(), list("roma-unseen").unwrap());
    assert!(seen.iter().all(|s| unseen.iter().all(|u| u.name() != s.name())));
}

#[test]
fn scales_read_back_and_measure_the_shorter_side() {
    for scale in [Scale::Native, Scale::Reference(336), Scale::AfterResize] {
        assert_eq!(scale.to_string().parse(), Ok(scale));
    }
    for bad in ["", "reference", "reference(0)", "reference(-3)", "big"] {
        assert!(bad.parse::<Scale>().is_err(), "{bad}");
    }
    let pixel = |scale: Scale, size| scale.dose(Severity::ZERO, 0, size).pixel;
    assert_eq!(pixel(Scale::Reference(224), (448, 900)), 2.);
    assert_eq!(pixel(Scale::Reference(224), (100, 100)), 1.);
    assert_eq!(pixel(Scale::Native, (4480, 4480)), 1.);
}

/// What depends on the size of a pixel.
const SCALED: &[&str] = &[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "gaussian_blur",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "pixelate",
    "block_mask",
    "hawkeye_noise",
    "hawkeye_blur",
];

/// At `reference(N)` a corruption of an enlarged picture, shrunk again, does what it does to the picture itself. Shrunk by
/// the mean of each square that a pixel was enlarged to: a wider filter would take away some of the noise of either.
#[test]
fn reference_scale_keeps_the_damage() {
    let small = RgbImage::from_fn(64, 64, |x, y| Rgb([if (x / 9 + y / 7) % 2 == 0 { 60 } else { 190 }; 3]));
    let large = RgbImage::from_fn(256, 256, |x, y| *small.get_pixel(x / 4, y / 4));
    let shrunk = |i: &RgbImage| {
        let mean = |x: u32, y: u32, c: usize| {
            let square = (0..16).map(|k| u32::from(i.get_pixel(4 * x + k % 4, 4 * y + k / 4).0[c]));
            ((square.sum::<u32>() + 8) / 16) as u8
        };
        RgbImage::from_fn(64, 64, |x, y| Rgb([0, 1, 2].map(|c| mean(x, y, c))))
    };
    let damage = |out: &RgbImage| {
        let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
        out.iter().zip(small.iter()).map(square).sum::<f64>() / out.len() as f64
    };
    for name in SCALED {
        let c = find(name).unwrap();
        let mean = |f: &dyn Fn(u64) -> f64| (0..8).map(f).sum::<f64>() / 8.;
        let on = |scale: Scale, seed: u64| {
            let dose = scale.dose(Severity::LEVELS[2], seed, large.dimensions());
            damage(&shrunk(&c.apply_dose(&large, &dose)))
        };
        let plain = mean(&|seed| damage(&c.apply(&small, Severity::LEVELS[2], seed)));
        let (native, reference) =
            (mean(&|seed| on(Scale::Native, seed)), mean(&|seed| on(Scale::Reference(64), seed)));
        println!("{name}: native {native:.0}, reference {reference:.0}, small {plain:.0}");
        assert!((reference / plain).ln().abs() < 0.25, "{name}: {reference} {plain}");
        // Blocks of any size take away the same share.
        assert!(native < 0.6 * reference || *name == "block_mask", "{name}: {native} {reference}");
    }
}

#[test]
fn frost_of_a_folder_draws_its_pictures() {
    let folder = std::env::temp_dir().join(format!("foveate-augment-plates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let limits = Limits::default();
    assert!(Frost::from_folder(&folder, &limits).unwrap_err().to_string().contains("no picture"));
    for (name, grey) in [("a.png", 10), ("b.png", 240)] {
        RgbImage::from_pixel(30, 20, Rgb([grey; 3])).save(folder.join(name)).unwrap();
    }
    let frost = Frost::from_folder(&folder, &limits).unwrap();
    let black = RgbImage::new(50, 70);
    let drawn = |seed| frost.apply(&black, Severity::LEVELS[0], seed).get_pixel(9, 9).0[0];
    let mut greys: Vec<u8> = (0..20).map(drawn).collect();
    greys.sort_unstable();
    greys.dedup();
    // Level 1 adds 0.4 of the plate.
    assert_eq!(greys, [4, 96]);
    std::fs::write(folder.join("c.png"), b"no").unwrap();
    assert!(Frost::from_folder(&folder, &limits).unwrap_err().to_string().contains("c.png"));
    std::fs::remove_dir_all(&folder).ok();
}

#[test]
fn a_sheet_shows_every_corruption_at_every_severity() {
    let shown = list("extra").unwrap();
    let out = sheet(&picture(120, 80), &shown, &Sheet { cell: 60, ..Sheet::default() });
    // 60 x 40 a cell, 6 between, 12 for the label.
    assert_eq!(out.dimensions(), (6 + 6 * 66, 6 + 4 * 58));
    let ink = |x: u32, y: u32| (0..7).any(|dy| out.get_pixel(x, y + dy).0 == [0; 3]);
    assert!((0..4).all(|row| (6..40).any(|x| ink(x, 6 + row * 58))), "a row has no label");
}
