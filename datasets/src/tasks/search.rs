//! `search`: two small coloured figures in a large cluttered image, as in V*: their colour, and how they lie to each
//! other. Shrunk to a small number of tokens the targets are specks, so looking closer (MGPO) pays.
//!
//! `meta.targets` holds the boxes `[x, y, width, height]` that the question is about.

use crate::synth::canvas;
use crate::synth::draw::permutation;
use crate::synth::drawn::{self, Drawn, Picture, Question};
use crate::synth::figures::{COLOURS, SHAPES};
use crate::{Chance, Grade, Sample, TaskEntry, grade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, json};
use std::ops::RangeInclusive;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: Search::NAME,
    summary: "small targets in a large cluttered image: colour and relative place, with boxes (built in)",
    needs_data: false,
    open: drawn::open::<Search>,
};

/// Figures of the clutter; no target has them.
type Inside = fn(f32, f32) -> bool;
const CLUTTER: [Inside; 2] = [|x, y| x.abs() + y.abs() <= 1., |x, y| (0.45..=1.).contains(&(x * x + y * y))];

const WORDS: [&str; 4] = ["left", "right", "above", "below"];

#[derive(Debug)]
struct Search;

struct Target {
    colour: usize,
    shape: usize,
    centre: (f32, f32),
    radius: f32,
}

impl Target {
    fn name(&self) -> String {
        format!("{} {}", COLOURS[self.colour].0, SHAPES[self.shape].0)
    }

    fn bounds(&self) -> [u32; 4] {
        let side = (self.radius * 2.).ceil() as u32 + 1;
        [
            (self.centre.0 - self.radius).floor() as u32,
            (self.centre.1 - self.radius).floor() as u32,
            side,
            side,
        ]
    }
}

/// Two targets that differ in colour, in shape, and clearly in both coordinates.
fn targets(rng: &mut ChaCha8Rng, size: u32) -> [Target; 2] {
    let side = size as f32;
    let (colours, shapes) = (permutation(rng, COLOURS.len()), permutation(rng, SHAPES.len()));
    let radius = side / 56.;
    let margin = radius + 2.;
    let (near, far) = loop {
        let mut place = || (rng.random_range(margin..side - margin), rng.random_range(margin..side - margin));
        let (a, b): ((f32, f32), (f32, f32)) = (place(), place());
        if (a.0 - b.0).abs().min((a.1 - b.1).abs()) > side / 14. {
            break (a, b);
        }
    };
    let target = |k: usize, centre| Target { colour: colours[k], shape: shapes[k], centre, radius };
    [target(0, near), target(1, far)]
}

impl Drawn for Search {
    const NAME: &'static str = "search";
    const PER_IMAGE: usize = 4;
    const SIZE: u32 = 896;
    const SIZES: RangeInclusive<u32> = 224..=4096;

    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture {
        let mut image = canvas::texture(rng, size, size);
        let side = size as f32;
        for k in 0..60 {
            let radius = side / 56. * rng.random_range(0.7..1.4);
            let centre = (rng.random_range(0.0..side), rng.random_range(0.0..side));
            let grey: u8 = rng.random_range(40..210);
            canvas::fill(&mut image, centre, radius, [grey, grey, grey], CLUTTER[k % CLUTTER.len()]);
        }
        let targets = targets(rng, size);
        for t in &targets {
            canvas::fill(&mut image, t.centre, t.radius, COLOURS[t.colour].1, SHAPES[t.shape].1);
        }
        let found: Vec<_> = targets
            .iter()
            .map(|t| json!({"color": COLOURS[t.colour].0, "shape": SHAPES[t.shape].0, "box": t.bounds()}))
            .collect();
        let [a, b] = &targets;
        let questions = vec![attribute(a), attribute(b), sideways(rng, a, b), upright(rng, a, b)];
        Picture { image, questions, meta: Map::from_iter([("objects".to_owned(), found.into())]) }
    }

    fn grade(sample: &Sample, response: &str) -> Grade {
        let known = |word: &str| COLOURS.iter().any(|c| c.0 == word) || WORDS.contains(&word);
        grade::exact::closed(&sample.answer, known, response)
    }

    fn chance() -> Chance {
        let guess = (1. / 6. + 1. / 2.) / 2.;
        Chance { guess, text_only: guess }
    }
}

fn attribute(t: &Target) -> Question {
    let text = format!("What color is the {}?", SHAPES[t.shape].0);
    Question::new("color", text, COLOURS[t.colour].0).with("targets", json!([t.bounds()]))
}

fn sideways(rng: &mut ChaCha8Rng, a: &Target, b: &Target) -> Question {
    let (a, b) = if rng.random_bool(0.5) { (a, b) } else { (b, a) };
    let text = format!("Is the {} left or right of the {}?", a.name(), b.name());
    let answer = if a.centre.0 < b.centre.0 { "left" } else { "right" };
    Question::new("relation", text, answer).with("targets", json!([a.bounds(), b.bounds()]))
}

fn upright(rng: &mut ChaCha8Rng, a: &Target, b: &Target) -> Question {
    let (a, b) = if rng.random_bool(0.5) { (a, b) } else { (b, a) };
    let text = format!("Is the {} above or below the {}?", a.name(), b.name());
    let answer = if a.centre.1 < b.centre.1 { "above" } else { "below" };
    Question::new("relation", text, answer).with("targets", json!([a.bounds(), b.bounds()]))
}
