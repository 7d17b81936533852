//! `quality`: figures under a known degradation, to be scored from 1 (bad) to 5 (excellent), for Q-Hawkeye.
//!
//! The score is 5 less the level of the degradation (0 to 4), whatever its kind; `meta` holds both.

use crate::formats::QUALITY_QUESTION;
use crate::synth::drawn::{self, Drawn, Picture, Question};
use crate::synth::figures::Scene;
use crate::{Chance, Grade, Sample, TaskEntry, grade};
use image::{RgbImage, imageops};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Map;
use std::ops::RangeInclusive;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: Quality::NAME,
    summary: "pictures at a known degradation, scored 1 to 5 (built in)",
    needs_data: false,
    open: drawn::open::<Quality>,
};

type Degrade = fn(&RgbImage, level: u32, &mut ChaCha8Rng) -> RgbImage;

/// Kinds of degradation; level 1 to 4.
const KINDS: [(&str, Degrade); 4] =
    [("blur", blur), ("noise", noise), ("pixelate", pixelate), ("dark", dark)];

#[derive(Debug)]
struct Quality;

impl Drawn for Quality {
    const NAME: &'static str = "quality";
    const PER_IMAGE: usize = 1;
    const SIZE: u32 = 112;
    const SIZES: RangeInclusive<u32> = 48..=1024;

    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture {
        let scene = Scene::draw(rng, size);
        let clean = scene.render(rng);
        let (kind, degrade) = KINDS[rng.random_range(0..KINDS.len())];
        let level = rng.random_range(0..5);
        let image = if level == 0 { clean } else { degrade(&clean, level, rng) };
        let question = Question::new("quality", QUALITY_QUESTION, 5 - level);
        let kind = if level == 0 { "none" } else { kind };
        let meta = [
            ("degradation_type".to_owned(), kind.into()),
            ("degradation_level".to_owned(), level.into()),
            ("objects".to_owned(), scene.truth()),
        ];
        Picture { image, questions: vec![question], meta: Map::from_iter(meta) }
    }

    fn grade(sample: &Sample, response: &str) -> Grade {
        grade::quality::grade(&sample.answer, response)
    }

    fn chance() -> Chance {
        Chance { guess: 0.2, text_only: 0.2 }
    }
}

fn blur(image: &RgbImage, level: u32, _: &mut ChaCha8Rng) -> RgbImage {
    imageops::blur(image, image.width() as f32 / 112. * [1.0, 2.0, 3.5, 6.0][level as usize - 1])
}

fn noise(image: &RgbImage, level: u32, rng: &mut ChaCha8Rng) -> RgbImage {
    let reach = [24, 56, 104, 176][level as usize - 1];
    let mut out = image.clone();
    for value in out.iter_mut() {
        *value = value.saturating_add_signed((rng.random_range(-reach..=reach) / 2) as i8);
    }
    out
}

fn pixelate(image: &RgbImage, level: u32, _: &mut ChaCha8Rng) -> RgbImage {
    let (width, height) = image.dimensions();
    let cell = [2, 4, 7, 12][level as usize - 1] * width.div_ceil(112);
    let small = imageops::thumbnail(image, (width / cell).max(1), (height / cell).max(1));
    imageops::resize(&small, width, height, imageops::FilterType::Nearest)
}

fn dark(image: &RgbImage, level: u32, _: &mut ChaCha8Rng) -> RgbImage {
    let keep = [0.7, 0.45, 0.25, 0.1][level as usize - 1];
    let mut out = image.clone();
    for value in out.iter_mut() {
        *value = (f32::from(*value) * keep) as u8;
    }
    out
}
