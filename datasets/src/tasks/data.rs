//! Any imported or foreign data as a task.
//!
//! A folder that `prep import` wrote is mapped: only the text of its rows is in memory, image bytes are slices of the
//! file. Anything else is read whole, up to a limit, and every row must be sound: what to do about broken rows is
//! decided at import, not in the middle of a training run.

use crate::prep::records::{self, SourceSpec};
use crate::read::{RawRow, mapped_rows};
use crate::task::outside;
use crate::{Error, Grade, Result, Sample, Split, Task, TaskEntry, formats, grade, mapped};
use std::path::{Path, PathBuf};

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: "data",
    summary: "data of your own: a folder that `prep import` wrote, or a file of any known format",
    needs_data: true,
    open: |options| {
        let train = options.data.as_ref().map(|path| path.display().to_string());
        open_data(&DataOptions { train, ..DataOptions::default() })
    },
};

/// Foreign data may hold this many encoded bytes; more wants an import.
const MAX_BYTES: u64 = 4 << 30;

/// How a reply to an imported question is graded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grader {
    /// By letter where there are options, as quality where the set has people's scores, as mathematics where the answer
    /// is a number or LaTeX, else by text.
    #[default]
    Auto,
    /// By text.
    Exact,
    /// By option letter.
    Choice,
    /// As mathematics.
    Math,
    /// As a picture's quality, a number.
    Quality,
}

/// What to train and test on.
#[derive(Clone, Debug, Default)]
pub struct DataOptions {
    /// What to learn from: `path` or `path@split`.
    pub train: Option<String>,
    /// What to measure on; the `validation.parquet` of an imported `train` when absent.
    pub test: Option<String>,
    /// Format, column names and image folder, for data that is not imported; its `source` is not looked at.
    pub spec: SourceSpec,
    /// How to grade.
    pub grader: Grader,
}

#[derive(Debug)]
struct Data {
    splits: [Vec<Sample>; 2],
    /// Of each sample the first one of its neighbours about the same pictures.
    firsts: [Vec<usize>; 2],
    grader: Grader,
}

/// Opens data as a task called `data`.
///
/// # Errors
/// Nothing is there, a row is broken, or foreign data is too large to hold.
pub fn open_data(options: &DataOptions) -> Result<Box<dyn Task>> {
    let read = |source: &Option<String>| source.as_ref().map_or(Ok(vec![]), |s| load(s, &options.spec));
    let train = read(&options.train)?;
    let test = match (&options.test, &options.train) {
        (None, Some(folder)) if Path::new(folder).join("validation.parquet").is_file() => {
            imported(&Path::new(folder).join("validation.parquet"))?
        }
        (test, _) => read(test)?,
    };
    let firsts = [firsts(&train), firsts(&test)];
    Ok(Box::new(Data { splits: [train, test], firsts, grader: options.grader }))
}

/// For each sample the first of its neighbours about the same pictures. Pictures of one length are compared byte by byte,
/// and others not at all, so of a mapped file little is read.
fn firsts(samples: &[Sample]) -> Vec<usize> {
    let same = |a: &Sample, b: &Sample| {
        let pairs = || a.images.iter().zip(&b.images);
        !a.images.is_empty() && a.images.len() == b.images.len() && pairs().all(|(a, b)| a.is_same(b))
    };
    let mut first = 0;
    let one = |i: usize| {
        if i == 0 || !same(&samples[i - 1], &samples[i]) {
            first = i;
        }
        first
    };
    (0..samples.len()).map(one).collect()
}

fn load(source: &str, spec: &SourceSpec) -> Result<Vec<Sample>> {
    let path = PathBuf::from(source);
    if path.join("import.json").is_file() {
        return imported(&path.join("data.parquet"));
    }
    let mut out = Vec::new();
    let mut bytes = 0;
    for record in records::open(&SourceSpec { source: source.to_owned(), ..spec.clone() })? {
        let sample = record.sample.map_err(|reason| Error::Row {
            file: record.file,
            row: record.row,
            field: "row".into(),
            message: format!("{reason}; `foveate prep import` sorts broken rows out"),
        })?;
        bytes += sample.images.iter().map(held).sum::<u64>();
        if bytes > MAX_BYTES {
            return Err(Error::file(
                source,
                format!("holds more than {MAX_BYTES} bytes of images: import it first"),
            ));
        }
        out.push(sample);
    }
    Ok(out)
}

fn held(image: &crate::ImageRef) -> u64 {
    match image {
        crate::ImageRef::Bytes { bytes, .. } => bytes.len() as u64,
        _ => 0,
    }
}

/// The rows of a file that `prep import` wrote, image bytes left in the map.
pub(crate) fn imported(path: &Path) -> Result<Vec<Sample>> {
    let own = formats::named("foveate")
        .ok_or_else(|| Error::Invalid("the table of formats has no `foveate`".into()))?;
    let store = formats::ImageStore::default();
    let rows = mapped_rows(mapped::map(path)?).map_err(|e| Error::file(path, e))?;
    let fault = |row, message: String| Error::Row {
        file: path.display().to_string(),
        row,
        field: "row".into(),
        message,
    };
    rows.map(|RawRow { row, fields, .. }| {
        let fields = fields.map_err(|e| fault(row, e))?;
        own.sample(fields, &[], &store, "").map_err(|e| fault(row, e.to_string()))
    })
    .collect()
}

impl Task for Data {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn version(&self) -> u32 {
        2
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].len()
    }

    fn image_of(&self, split: Split, index: usize) -> usize {
        self.firsts[split as usize].get(index).copied().unwrap_or(index)
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample> {
        self.splits[split as usize].get(index).cloned().ok_or_else(|| outside(self, split, index))
    }

    fn prompt(&self, sample: &Sample) -> String {
        sample.prompt()
    }

    fn grade(&self, sample: &Sample, response: &str) -> Grade {
        let grader = match self.grader {
            Grader::Auto if !sample.choices.is_empty() => Grader::Choice,
            Grader::Auto if scored(sample) => Grader::Quality,
            Grader::Auto if mathematical(&sample.answer) => Grader::Math,
            Grader::Auto => Grader::Exact,
            named => named,
        };
        match grader {
            Grader::Choice => grade::choice::grade(&right_letter(sample), &sample.choices, response),
            Grader::Quality => grade::quality::grade(&sample.answer, response),
            Grader::Math => grade::math::grade(&sample.answer, response),
            Grader::Exact | Grader::Auto => grade::exact::free(&sample.answer, response),
        }
    }
}

/// Whether the answer is a mean opinion score: the formats of quality sets keep the published one in `meta`.
fn scored(sample: &Sample) -> bool {
    sample.meta.get("score").is_some_and(serde_json::Value::is_number)
}

fn mathematical(answer: &str) -> bool {
    answer.contains('\\') || grade::number::parse(answer).is_some()
}

/// The answer as a letter, where it is given as the option's text.
fn right_letter(sample: &Sample) -> String {
    let at = sample.choices.iter().position(|c| *c == sample.answer);
    at.map_or(sample.answer.clone(), |i| grade::choice::letter(i).to_string())
}
