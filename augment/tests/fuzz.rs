//! Any size, any severity, any seed, any scale: no panic, the size kept, and the same again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_augment::{CORRUPTIONS, Corruption, Dose, Severity, parse};
use image::RgbImage;
use rayon::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// splitmix64 as a stream, so that a case is known by its number.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn share(&mut self) -> f32 {
        self.below(1 << 24) as f32 / ((1 << 24) - 1) as f32
    }
}

/// A side: often tiny, seldom long.
fn side(draws: &mut Draws) -> u32 {
    let most = [1, 2, 4, 9, 18, 33, 40, 70][draws.below(8) as usize];
    1 + draws.below(most) as u32
}

/// A picture of noise, of one grey, of black or of white.
fn picture(draws: &mut Draws) -> RgbImage {
    let (w, h) = match draws.below(50) {
        0 => (1 + draws.below(400) as u32, 1 + draws.below(3) as u32),
        1 => (1 + draws.below(3) as u32, 1 + draws.below(400) as u32),
        _ => (side(draws), side(draws)),
    };
    let flat = [0, 255, draws.below(256) as u8];
    let kind = draws.below(6) as usize;
    let bytes =
        (0..3 * w * h).map(|_| flat.get(kind).copied().unwrap_or_else(|| draws.next() as u8)).collect();
    RgbImage::from_raw(w, h, bytes).unwrap()
}

fn dose(draws: &mut Draws) -> Dose {
    let share = match draws.below(4) {
        0 => draws.below(6) as f32 / 5.,
        1 => draws.share() * 0.001,
        _ => draws.share(),
    };
    let pixel = if draws.below(8) == 0 { 1. + 9. * draws.share() } else { 1. };
    let seed = if draws.below(10) == 0 { u64::MAX - draws.below(3) } else { draws.next() };
    Dose { severity: Severity::fraction(share).unwrap(), seed, pixel }
}

/// What went wrong in a case, if anything did.
fn case(number: u64, corruptions: &[&dyn Corruption]) -> Option<String> {
    let mut draws = Draws(number.wrapping_mul(0xd134_2543_de82_ef95));
    let corruption = corruptions[draws.below(corruptions.len() as u64) as usize];
    let (image, dose) = (picture(&mut draws), dose(&mut draws));
    let told = || format!("case {number}: {} {:?} {dose:?}", corruption.name(), image.dimensions());
    let apply = || catch_unwind(AssertUnwindSafe(|| corruption.apply_dose(&image, &dose)));
    match apply() {
        Err(_) => Some(format!("{}: panic", told())),
        Ok(ref out) if out.dimensions() != image.dimensions() => Some(format!("{}: another size", told())),
        Ok(ref out) if number.is_multiple_of(16) && apply().ok().as_ref() != Some(out) => {
            Some(format!("{}: not the same again", told()))
        }
        Ok(_) => None,
    }
}

fn run(cases: u64) {
    let composed = ["gaussian_noise+glass_blur@5", "any:all", "snow|spatter|frost@0.5"].map(parse);
    let composed: Vec<_> = composed.into_iter().filter_map(Result::ok).collect();
    let corruptions: Vec<&dyn Corruption> =
        CORRUPTIONS.iter().copied().chain(composed.iter().map(|c| &**c)).collect();
    let wrong: Vec<String> = (0..cases).into_par_iter().filter_map(|n| case(n, &corruptions)).collect();
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn no_case_of_two_thousand_panics() {
    run(2000);
}

#[test]
#[ignore = "a million cases take minutes"]
fn no_case_of_a_million_panics() {
    run(1_000_000);
}
