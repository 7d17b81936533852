//! `shapes`: one to three big coloured shapes on a texture, and questions on colour, shape, count, place and relation
//! with one-word answers.
//!
//! Eight questions an image, side by side. Every family's answers are balanced, so the text of a question tells
//! nothing about its answer ([`Chance`] states what is left: the families differ in how many answers they have).

use crate::synth::draw;
use crate::task::outside;
use crate::{Chance, Error, Grade, ImageRef, OpenOptions, Result, Sample, Split, Task, TaskEntry, grade};
use questions::Question;
use scene::{COLOURS, SHAPES, Scene};
use serde_json::{Map, json};
use std::sync::Arc;

mod questions;
mod scene;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: "shapes",
    summary: "coloured shapes on textures: colour, shape, count, place, relation (built in)",
    needs_data: false,
    open: |options| Ok(Box::new(Shapes::open(options)?)),
};

/// Words outside the tables of colours and shapes that can be answers.
const WORDS: [&str; 9] = ["1", "2", "3", "left", "right", "top", "bottom", "yes", "no"];

#[derive(Debug)]
struct Shapes {
    seed: u64,
    size: u32,
    len: [usize; 2],
}

impl Shapes {
    fn open(options: &OpenOptions) -> Result<Self> {
        let size = options.size.unwrap_or(112);
        if !(48..=1024).contains(&size) {
            return Err(Error::Invalid(format!("shapes: size {size} is outside 48..=1024")));
        }
        Ok(Self {
            seed: options.seed,
            size,
            len: [options.train.unwrap_or(1 << 19), options.test.unwrap_or(4096)],
        })
    }
}

impl Task for Shapes {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn version(&self) -> u32 {
        1
    }

    fn len(&self, split: Split) -> usize {
        self.len[split as usize]
    }

    fn image_of(&self, _split: Split, index: usize) -> usize {
        index / questions::PER_IMAGE
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample> {
        if index >= self.len(split) {
            return Err(outside(self, split, index));
        }
        let image_index = self.image_of(split, index);
        let mut rng = draw::stream(self.seed, ENTRY.name, split, image_index);
        let (image, scene) = draw::for_split(split, || {
            let scene = Scene::draw(&mut rng, self.size);
            (scene.render(&mut rng), scene)
        });
        let question = questions::ask(&scene, &mut rng).swap_remove(index % questions::PER_IMAGE);
        let id = format!("shapes-{}-{}-{index}", self.seed, split.name());
        Ok(sample(id, image_index, image, &scene, question))
    }

    fn grade(&self, sample: &Sample, response: &str) -> Grade {
        let known = |word: &str| {
            COLOURS.iter().any(|c| c.0 == word) || SHAPES.iter().any(|s| s.0 == word) || WORDS.contains(&word)
        };
        grade::exact::closed(&sample.answer, known, response)
    }

    fn chance(&self) -> Option<Chance> {
        // Colour, shape, place, count, yes/no, then colour and shape again (yes/no where one object leaves none), place.
        let (colour, shape, two) = (1. / 6., 1. / 4., 1. / 2.);
        let again = |p: f32| two / 3. + p * 2. / 3.;
        let guess = (colour + shape + two + 1. / 3. + two + again(colour) + again(shape) + two) / 8.;
        Some(Chance { guess, text_only: guess })
    }
}

fn sample(id: String, image_index: usize, image: image::RgbImage, scene: &Scene, q: Question) -> Sample {
    let objects: Vec<_> = scene
        .objects
        .iter()
        .map(|o| json!({"color": o.colour_name(), "shape": o.shape_name(), "box": o.bounds(scene.size)}))
        .collect();
    let mut meta = Map::new();
    meta.insert("family".into(), q.family.into());
    meta.insert("image".into(), image_index.into());
    meta.insert("objects".into(), objects.into());
    meta.insert("targets".into(), q.targets.into());
    let images = vec![ImageRef::Rgb(Arc::new(image))];
    Sample { id, problem: q.text, answer: q.answer, choices: vec![], images, meta }
}
