//! A published benchmark: questions that are read from its own files, asked and graded as it says.
//!
//! Decides what all of them share: which file of a folder is meant, that every row must be sound, that an image which
//! several questions are about is held once, and the seeded order of options. What one benchmark decides itself is a
//! [`Protocol`].

use crate::grade::choice::letter;
use crate::task::{ORDER, outside};
use crate::{Error, Grade, OpenOptions, Result, Sample, Split, Task};
use std::path::Path;

mod files;
mod images;
mod order;

/// A way to put a question into words.
pub(super) struct Wording {
    /// Whose it is.
    pub(super) name: &'static str,
    pub(super) of: fn(&Sample) -> String,
}

/// `None` for a folder that is something else.
type ReadFolder = fn(&Path) -> Option<Result<Vec<Sample>>>;

/// What a benchmark fixes.
pub(super) struct Protocol {
    pub(super) name: &'static str,
    pub(super) version: u32,
    /// The formats in which its files come; a row of another is refused.
    pub(super) formats: &'static [&'static str],
    /// Whether a file is of this benchmark, by its name in lower case with `-` as `_`.
    pub(super) file: fn(&str) -> bool,
    /// Reads a folder that is no table, if this is one.
    pub(super) folder: Option<ReadFolder>,
    /// Brings what mirrors call differently to one name, in `meta`.
    pub(super) settle: fn(&mut Sample) -> std::result::Result<(), String>,
    /// Options at the end that keep their place when the others are shuffled.
    pub(super) fixed: usize,
    /// The first is the default: what its authors ask, or where they do not ask by letter, what most people run.
    pub(super) wordings: &'static [Wording],
    pub(super) grade: fn(&Sample, &str) -> Grade,
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

#[derive(Debug)]
struct Benchmark {
    protocol: &'static Protocol,
    wording: fn(&Sample) -> String,
    samples: Vec<Sample>,
    /// The number of each sample's image.
    images: Vec<usize>,
}

/// Opens the benchmark that `protocol` describes.
pub(super) fn open(protocol: &'static Protocol, options: &OpenOptions) -> Result<Box<dyn Task>> {
    let wording = wording(protocol, options.wording.as_deref())?;
    let data = options.data.as_deref().unwrap_or(Path::new("."));
    let mut samples = match protocol.folder.and_then(|read| read(data)) {
        Some(found) => found?,
        None => files::read(protocol, data)?,
    };
    let images = images::side_by_side(&mut samples);
    distinct(data, &samples)?;
    if let Some(seed) = options.shuffle {
        samples.iter_mut().for_each(|sample| order::shuffle(sample, protocol.fixed, seed));
    }
    Ok(Box::new(Benchmark { protocol, wording, samples, images }))
}

fn wording(protocol: &Protocol, name: Option<&str>) -> Result<fn(&Sample) -> String> {
    let Some(name) = name else { return Ok(protocol.wordings[0].of) };
    let found = protocol.wordings.iter().find(|wording| wording.name == name);
    found.map(|wording| wording.of).ok_or_else(|| {
        let known: Vec<_> = protocol.wordings.iter().map(|wording| wording.name).collect();
        Error::Invalid(format!(
            "task `{}` has no prompt called `{name}`; there are {}",
            protocol.name,
            known.join(", ")
        ))
    })
}

fn distinct(data: &Path, samples: &[Sample]) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match samples.iter().find(|sample| !seen.insert(sample.id.as_str())) {
        Some(twice) => Err(Error::file(data, format!("two questions have the id `{}`", twice.id))),
        None => Ok(()),
    }
}

impl Task for Benchmark {
    fn name(&self) -> &'static str {
        self.protocol.name
    }

    fn version(&self) -> u32 {
        self.protocol.version
    }

    fn len(&self, split: Split) -> usize {
        if split == Split::Test { self.samples.len() } else { 0 }
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample> {
        let sample = self.samples.get(index).filter(|_| split == Split::Test);
        sample.cloned().ok_or_else(|| outside(self, split, index))
    }

    fn image_of(&self, _split: Split, index: usize) -> usize {
        self.images.get(index).copied().unwrap_or(index)
    }

    fn prompt(&self, sample: &Sample) -> String {
        (self.wording)(sample)
    }

    fn grade(&self, sample: &Sample, response: &str) -> Grade {
        (self.protocol.grade)(sample, response)
    }
}

/// `A. red` a line, each line with its newline.
pub(super) fn dotted(sample: &Sample) -> String {
    let line = |(i, option): (usize, &String)| format!("{}. {option}\n", letter(i));
    sample.choices.iter().enumerate().map(line).collect()
}

/// VLMEvalKit's words for any multiple-choice question.
pub(super) fn vlmevalkit(sample: &Sample) -> String {
    let hint = sample.meta.get("hint").and_then(serde_json::Value::as_str);
    let hint = hint.map(|hint| format!("Hint: {hint}\n")).unwrap_or_default();
    let ask = "Please select the correct answer from the options above. \n";
    format!("{hint}Question: {}\nOptions:\n{}{ask}", sample.problem, dotted(sample))
}

/// The strict grade of a question whose answer is a letter.
pub(super) fn by_letter(sample: &Sample, response: &str) -> Grade {
    crate::grade::choice::grade(&sample.answer, &sample.choices, response)
}

/// Where the options of a sample stood before they were shuffled.
pub(super) fn is_shuffled(sample: &Sample) -> bool {
    sample.meta.contains_key(ORDER)
}
