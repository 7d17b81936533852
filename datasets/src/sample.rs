//! One question with its images and its answer.

use crate::ImageRef;
use crate::grade::choice::letter;
use serde_json::{Map, Value};

/// One question. Images stay encoded until they are needed.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Unique within its task and split.
    pub id: String,
    /// The question. `<image>` marks where an image stands; without a mark the images come first.
    pub problem: String,
    /// The right answer: a word, a number, an option's letter, or `\boxed{...}` mathematics.
    pub answer: String,
    /// The options of a multiple-choice question in the order shown; empty otherwise.
    pub choices: Vec<String>,
    /// The images in the order of their marks.
    pub images: Vec<ImageRef>,
    /// Everything else the source knew: boxes, category, family, level.
    pub meta: Map<String, Value>,
}

impl Sample {
    /// The user's turn: the question, and under it its options with their letters where it has any.
    pub fn prompt(&self) -> String {
        if self.choices.is_empty() {
            return self.problem.clone();
        }
        let option = |(i, text): (usize, &String)| format!("({}) {text}", letter(i));
        let options: Vec<_> = self.choices.iter().enumerate().map(option).collect();
        format!("{}\n{}\nAnswer with the letter of the right option.", self.problem, options.join("\n"))
    }

    /// What to call this sample in a message: its id and its first image.
    pub fn place(&self) -> String {
        match self.images.first() {
            Some(image) => format!("sample {} ({})", self.id, image.place()),
            None => format!("sample {}", self.id),
        }
    }
}
