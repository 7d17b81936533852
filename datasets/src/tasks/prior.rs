//! `prior`: questions that text alone answers 70 % of the time, for PAPO: each shape has a usual colour, and three in
//! ten have another. Whoever does not look stays at 70 %.
//!
//! `meta.typical` says whether the usual answer is the right one.

use crate::synth::drawn::{self, Drawn, Picture, Question};
use crate::synth::figures::{COLOURS, SHAPES, Scene};
use crate::{Chance, Grade, Sample, TaskEntry, grade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Map;
use std::ops::RangeInclusive;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: Prior::NAME,
    summary: "colour questions that text alone answers 70 % of the time (built in)",
    needs_data: false,
    open: drawn::open::<Prior>,
};

/// How often a shape has its usual colour.
const TYPICAL: f64 = 0.7;

/// The usual colour (an index) of each shape.
const USUAL: [usize; SHAPES.len()] = [0, 2, 1, 3];

#[derive(Debug)]
struct Prior;

impl Drawn for Prior {
    const NAME: &'static str = "prior";
    const PER_IMAGE: usize = 2;
    const SIZE: u32 = 112;
    const SIZES: RangeInclusive<u32> = 48..=1024;

    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture {
        let mut scene = Scene::draw_with(rng, size, 2..=3);
        for object in &mut scene.objects {
            let usual = USUAL[object.shape];
            let shift = if rng.random_bool(TYPICAL) { 0 } else { rng.random_range(1..COLOURS.len()) };
            object.set_colour(rng, (usual + shift) % COLOURS.len());
        }
        let image = scene.render(rng);
        let ask = |k: usize| {
            let object = &scene.objects[k];
            let text = format!("What color is the {}?", object.shape_name());
            let typical = object.colour == USUAL[object.shape];
            Question::new("color", text, object.colour_name())
                .with("typical", typical)
                .with("targets", vec![k])
        };
        let questions = (0..Self::PER_IMAGE).map(ask).collect();
        Picture { image, questions, meta: Map::from_iter([("objects".to_owned(), scene.truth())]) }
    }

    fn grade(sample: &Sample, response: &str) -> Grade {
        grade::exact::closed(&sample.answer, |word| COLOURS.iter().any(|c| c.0 == word), response)
    }

    fn chance() -> Chance {
        Chance { guess: 1. / 6., text_only: TYPICAL as f32 }
    }
}
