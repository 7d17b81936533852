//! A task whose pictures are drawn: everything but the picture and its questions.

use super::draw;
use crate::task::outside;
use crate::{Chance, Error, Grade, ImageRef, OpenOptions, Result, Sample, Split, Task};
use image::RgbImage;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

/// What is drawn, what is asked of it, and what is noted beside it.
type Drawing = (Arc<RgbImage>, Vec<Question>, Map<String, Value>);

/// Pictures kept, so that the questions about one are not paid for by drawing it again.
const RECENT: usize = 16;

/// A question about a picture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    pub(crate) family: &'static str,
    pub(crate) text: String,
    pub(crate) answer: String,
    /// What the question adds to the picture's own metadata.
    pub(crate) meta: Map<String, Value>,
}

impl Question {
    pub(crate) fn new(family: &'static str, text: impl Into<String>, answer: impl ToString) -> Self {
        Self { family, text: text.into(), answer: answer.to_string(), meta: Map::new() }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.meta.insert(key.to_owned(), value.into());
        self
    }
}

/// A picture, its questions and its ground truth.
pub(crate) struct Picture {
    pub(crate) image: RgbImage,
    /// Always as many as [`Drawn::PER_IMAGE`].
    pub(crate) questions: Vec<Question>,
    pub(crate) meta: Map<String, Value>,
}

/// What a drawn task decides itself.
pub(crate) trait Drawn: Send + Sync + Debug {
    const NAME: &'static str;
    const VERSION: u32 = 1;
    /// Questions about one picture.
    const PER_IMAGE: usize;
    /// Side of a picture unless the user says otherwise, and what a user may say.
    const SIZE: u32;
    const SIZES: RangeInclusive<u32>;
    /// Draws a picture with sides of `size` pixels.
    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture;
    /// What a reply is worth.
    fn grade(sample: &Sample, response: &str) -> Grade;
    /// Accuracy without sight.
    fn chance() -> Chance;
}

type Recent = Vec<((Split, usize), Arc<Drawing>)>;

/// The task that `D` decides.
#[derive(Debug)]
pub(crate) struct Synthetic<D> {
    seed: u64,
    size: u32,
    len: [usize; 2],
    recent: Mutex<Recent>,
    drawn: std::marker::PhantomData<D>,
}

/// Opens it.
pub(crate) fn open<D: Drawn + 'static>(options: &OpenOptions) -> Result<Box<dyn Task>> {
    let size = options.size.unwrap_or(D::SIZE);
    if !D::SIZES.contains(&size) {
        return Err(Error::Invalid(format!("task `{}`: size {size} is outside {:?}", D::NAME, D::SIZES)));
    }
    let len = [options.train.unwrap_or(1 << 19), options.test.unwrap_or(4096)];
    let recent = Mutex::new(Vec::with_capacity(RECENT));
    Ok(Box::new(Synthetic::<D> { seed: options.seed, size, len, recent, drawn: std::marker::PhantomData }))
}

impl<D: Drawn> Synthetic<D> {
    fn picture(&self, split: Split, index: usize) -> Arc<Drawing> {
        let key = (split, index);
        let lock = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = lock().iter().find(|(k, _)| *k == key) {
            return found.clone();
        }
        let mut rng = draw::stream(self.seed, D::NAME, split, index);
        let picture = draw::for_split(split, || D::draw(&mut rng, self.size));
        let new = Arc::new((Arc::new(picture.image), picture.questions, picture.meta));
        let mut recent = lock();
        if recent.len() == RECENT {
            recent.remove(0);
        }
        recent.push((key, new.clone()));
        new
    }
}

impl<D: Drawn> Task for Synthetic<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn version(&self) -> u32 {
        D::VERSION
    }

    fn len(&self, split: Split) -> usize {
        self.len[split as usize]
    }

    fn image_of(&self, _split: Split, index: usize) -> usize {
        index / D::PER_IMAGE
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample> {
        if index >= self.len(split) {
            return Err(outside(self, split, index));
        }
        let number = self.image_of(split, index);
        let picture = self.picture(split, number);
        let (image, questions, ground) = &*picture;
        let question = questions[index % D::PER_IMAGE].clone();
        let mut meta = ground.clone();
        meta.insert("family".into(), question.family.into());
        meta.insert("image".into(), number.into());
        meta.extend(question.meta);
        let id = format!("{}-{}-{}-{index}", D::NAME, self.seed, split.name());
        let images = vec![ImageRef::Rgb(image.clone())];
        Ok(Sample { id, problem: question.text, answer: question.answer, choices: vec![], images, meta })
    }

    fn grade(&self, sample: &Sample, response: &str) -> Grade {
        D::grade(sample, response)
    }

    fn chance(&self) -> Option<Chance> {
        Some(D::chance())
    }
}
