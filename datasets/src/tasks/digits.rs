//! `digits`: a short string of digits or capitals, printed large and small, in any contrast: read it, its first and last
//! character, its length.

use crate::synth::drawn::{self, Drawn, Picture, Question};
use crate::synth::{canvas, text};
use crate::{Chance, Grade, Sample, TaskEntry, grade};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::Map;
use std::ops::RangeInclusive;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: Digits::NAME,
    summary: "printed strings of digits or capitals: read them (built in)",
    needs_data: false,
    open: drawn::open::<Digits>,
};

#[derive(Debug)]
struct Digits;

impl Drawn for Digits {
    const NAME: &'static str = "digits";
    const PER_IMAGE: usize = 4;
    const SIZE: u32 = 112;
    const SIZES: RangeInclusive<u32> = 56..=2048;

    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture {
        let count = rng.random_range(3..=5usize);
        let alphabet = if rng.random_bool(0.5) { b'0'..=b'9' } else { b'A'..=b'Z' };
        let word: String = (0..count).map(|_| char::from(rng.random_range(alphabet.clone()))).collect();
        let mut image = canvas::texture(rng, size, size);
        let largest = (size / text::width(&word, 1)).max(1);
        let scale = rng.random_range(largest.div_ceil(2)..=largest);
        let (width, height) = (text::width(&word, scale), text::CELL * scale);
        let mut place = |room: u32| i64::from(rng.random_range(0..=room));
        let at = (place(size.saturating_sub(width)), place(size.saturating_sub(height)));
        // The texture is between 40 and 190: ink stands clearly on either side of it.
        let level: u8 =
            if rng.random_bool(0.5) { rng.random_range(225..=255) } else { rng.random_range(0..=25) };
        text::paint(&mut image, at, scale, [level; 3], &word);
        let characters: Vec<char> = word.chars().collect();
        let questions = vec![
            Question::new("read", "What is written?", &word),
            Question::new("first", "What is the first character?", characters[0]),
            Question::new("last", "What is the last character?", characters[count - 1]),
            Question::new("count", "How many characters are there?", count),
        ];
        let bounds = [at.0, at.1, i64::from(width), i64::from(height)];
        let meta = [("text".to_owned(), word.as_str().into()), ("box".to_owned(), bounds.to_vec().into())];
        Picture { image, questions, meta: Map::from_iter(meta) }
    }

    fn grade(sample: &Sample, response: &str) -> Grade {
        grade::exact::free(&sample.answer, response)
    }

    fn chance() -> Chance {
        // One of ten digits is right half of the time; a uniform guess is over all 36 characters.
        Chance { guess: (2. / 36. + 1. / 3.) / 4., text_only: (2. * 0.05 + 1. / 3.) / 4. }
    }
}
