//! `shapes`: one to three big coloured shapes on a texture, and questions on colour, shape, count, place and relation
//! with one-word answers.
//!
//! Every family's answers are balanced, so the text of a question tells nothing about its answer; what is left of
//! chance is that families differ in how many answers they have.

use crate::synth::drawn::{self, Drawn, Picture};
use crate::synth::figures::{COLOURS, SHAPES, Scene};
use crate::{Chance, Grade, Sample, TaskEntry, grade};
use rand_chacha::ChaCha8Rng;
use serde_json::Map;
use std::ops::RangeInclusive;

mod questions;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: Shapes::NAME,
    summary: "coloured shapes on textures: colour, shape, count, place, relation (built in)",
    needs_data: false,
    open: drawn::open::<Shapes>,
};

/// Words outside the tables of colours and shapes that can be answers.
const WORDS: [&str; 9] = ["1", "2", "3", "left", "right", "top", "bottom", "yes", "no"];

#[derive(Debug)]
struct Shapes;

impl Drawn for Shapes {
    const NAME: &'static str = "shapes";
    const PER_IMAGE: usize = questions::PER_IMAGE;
    const SIZE: u32 = 112;
    const SIZES: RangeInclusive<u32> = 48..=1024;

    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture {
        let scene = Scene::draw(rng, size);
        let image = scene.render(rng);
        let meta = Map::from_iter([("objects".to_owned(), scene.truth())]);
        Picture { image, questions: questions::ask(&scene, rng), meta }
    }

    fn grade(sample: &Sample, response: &str) -> Grade {
        let known = |word: &str| {
            COLOURS.iter().any(|c| c.0 == word) || SHAPES.iter().any(|s| s.0 == word) || WORDS.contains(&word)
        };
        grade::exact::closed(&sample.answer, known, response)
    }

    fn chance() -> Chance {
        // Colour, shape, place, count, yes/no, then colour and shape again (yes/no where one object leaves none), place.
        let (colour, shape, two) = (1. / 6., 1. / 4., 1. / 2.);
        let again = |p: f32| two / 3. + p * 2. / 3.;
        let guess = (colour + shape + two + 1. / 3. + two + again(colour) + again(shape) + two) / 8.;
        Chance { guess, text_only: guess }
    }
}
