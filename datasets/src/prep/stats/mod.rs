//! Stats: sizes, answers and, given a measure, tokens; as text, as JSON and as a small page.

use super::chunks::Chunks;
use super::import::{Hooks, Progress};
use super::measure::Measure;
use super::records::{self, Record, SourceSpec};
use super::reject::Reject;
use crate::{Result, Sample};
use rayon::prelude::*;
use serde::Serialize;
use spread::{Scale, Spread};
use std::collections::BTreeMap;

mod page;
mod spread;

/// Answers listed by name.
const TOP: usize = 20;
/// Answers told apart; a set of free texts has as many as rows.
const MAX_ANSWERS: usize = 100_000;

/// What a source holds.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Where it was read.
    pub source: String,
    /// The format, as given or found.
    pub format: String,
    /// Rows that can be read.
    pub rows: u64,
    /// Rows that cannot, and rows whose id was there before.
    pub broken: u64,
    /// Images whose header cannot be read.
    pub unreadable_images: u64,
    /// Images that the measured model refuses, and prompts that it cannot be given.
    pub unmeasured: u64,
    /// Images of a row.
    pub images_per_row: Spread,
    /// Width of an image in pixels.
    pub width: Spread,
    /// Height of an image in pixels.
    pub height: Spread,
    /// Width times height of an image.
    pub pixels: Spread,
    /// Longer over shorter side of an image, in tenths, rounded down.
    pub aspect_tenths: Spread,
    /// Characters of a question.
    pub characters: Spread,
    /// Tokens of an image; empty without a measure.
    pub image_tokens: Spread,
    /// Tokens of a whole prompt; empty without a measure.
    pub prompt_tokens: Spread,
    /// The commonest answers.
    pub answers: Vec<(String, u64)>,
    /// How many different answers there are (at least, where it is 100,000).
    pub distinct_answers: u64,
}

/// Reads all of `spec`, of images the headers only. `hooks` may bring a measure and a progress.
///
/// # Errors
/// The source cannot be opened.
pub fn stats(spec: &SourceSpec, hooks: Hooks) -> Result<Stats> {
    let records = records::open(spec)?;
    let mut out = Stats::empty(&spec.source, records.format);
    let mut answers: BTreeMap<String, u64> = BTreeMap::new();
    let mut chunks = Chunks::new(records, (0, 1));
    let mut rows = 0;
    while let Some(chunk) = chunks.next() {
        rows += chunk.rows;
        let look = |record: std::result::Result<Record, Reject>| match record {
            Ok(Record { sample: Ok(sample), .. }) => Ok(Seen::of(sample, hooks.measure)),
            Ok(record) => Err(record.count),
            Err(reject) => Err(reject.rows),
        };
        for seen in chunk.records.into_par_iter().map(look).collect::<Vec<_>>() {
            match seen {
                Ok(seen) => out.add(seen, &mut answers),
                Err(rows) => out.broken += rows,
            }
        }
        if let Some(progress) = hooks.progress {
            progress(Progress { rows, share: chunks.share() });
        }
    }
    out.distinct_answers = answers.len() as u64;
    out.answers = answers.into_iter().collect();
    out.answers.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    out.answers.truncate(TOP);
    Ok(out)
}

/// The numbers of one row.
struct Seen {
    answer: String,
    characters: u64,
    /// Width and height where the header can be read.
    images: Vec<Option<(u32, u32)>>,
    image_tokens: Vec<Option<u64>>,
    prompt_tokens: Option<Option<u64>>,
}

impl Seen {
    fn of(sample: Sample, measure: Option<&dyn Measure>) -> Self {
        let images: Vec<_> = sample.images.iter().map(|image| image.dimensions().ok()).collect();
        let tokens = |measure: &dyn Measure| {
            let sizes = images.iter().flatten();
            sizes.map(|&(w, h)| measure.image(w, h).ok().map(|n| n as u64)).collect()
        };
        Self {
            characters: sample.problem.chars().count() as u64,
            image_tokens: measure.map_or(vec![], tokens),
            prompt_tokens: measure.map(|measure| measure.prompt(&sample).ok().map(|n| n as u64)),
            answer: sample.answer,
            images,
        }
    }
}

impl Stats {
    fn empty(source: &str, format: &str) -> Self {
        let (each, octaves) = (Spread::new(Scale::Each), Spread::new(Scale::Octaves));
        Self {
            source: source.to_owned(),
            format: format.to_owned(),
            rows: 0,
            broken: 0,
            unreadable_images: 0,
            unmeasured: 0,
            images_per_row: each,
            width: octaves.clone(),
            height: octaves.clone(),
            pixels: octaves.clone(),
            aspect_tenths: Spread::new(Scale::Tenths),
            characters: octaves.clone(),
            image_tokens: octaves.clone(),
            prompt_tokens: octaves,
            answers: vec![],
            distinct_answers: 0,
        }
    }

    fn add(&mut self, seen: Seen, answers: &mut BTreeMap<String, u64>) {
        self.rows += 1;
        self.images_per_row.add(seen.images.len() as u64);
        self.characters.add(seen.characters);
        for image in seen.images {
            let Some((width, height)) = image else {
                self.unreadable_images += 1;
                continue;
            };
            let (width, height) = (u64::from(width), u64::from(height));
            self.width.add(width);
            self.height.add(height);
            self.pixels.add(width * height);
            self.aspect_tenths.add(width.max(height) * 10 / width.min(height).max(1));
        }
        for tokens in seen.image_tokens {
            self.unmeasured += u64::from(tokens.is_none());
            tokens.into_iter().for_each(|tokens| self.image_tokens.add(tokens));
        }
        match seen.prompt_tokens {
            Some(Some(tokens)) => self.prompt_tokens.add(tokens),
            Some(None) => self.unmeasured += 1,
            None => {}
        }
        if answers.len() < MAX_ANSWERS || answers.contains_key(&seen.answer) {
            *answers.entry(seen.answer).or_default() += 1;
        }
    }

    /// Every spread that has something to show, with what it counts.
    fn spreads(&self) -> Vec<(&'static str, &Spread)> {
        let all = [
            ("images per row", &self.images_per_row),
            ("width of an image, pixels", &self.width),
            ("height of an image, pixels", &self.height),
            ("width x height of an image", &self.pixels),
            ("longer over shorter side", &self.aspect_tenths),
            ("tokens of an image", &self.image_tokens),
            ("characters of a question", &self.characters),
            ("tokens of a prompt", &self.prompt_tokens),
        ];
        all.into_iter().filter(|(_, spread)| !spread.is_empty()).collect()
    }
}
