//! What a report is about: the records of directories of evaluations, the curves of directories of runs.

use super::exhibits::{self, Exhibit};
use super::training::{self, Training};
use super::{markdown, page};
use crate::elsewhere::{Elsewhere, noted};
use crate::metrics::Summary;
use crate::record::Record;
use crate::settings::{Invocation, Settings, write_json, write_whole};
use crate::stats::Bootstrap;
use crate::store::{self, Records};
use crate::{Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where an evaluation lies inside a run directory.
const INSIDE: &str = "eval";

/// How a report is made.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Failures that are shown with their pictures.
    pub exhibits: usize,
    /// Longer side of a shown picture in pixels.
    pub picture: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { exhibits: 12, picture: 240 }
    }
}

/// All that a report says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of foveate, which made it.
    pub version: String,
    /// Every number.
    pub summary: Summary,
    /// What other programs would have read in the same answers.
    pub elsewhere: Vec<Elsewhere>,
    /// How the answers came about.
    pub commands: Vec<Invocation>,
    /// Curves of training runs.
    pub training: Vec<Training>,
    /// Failures, with pictures.
    #[serde(skip)]
    pub exhibits: Vec<Exhibit>,
    /// What the reader should know of what is missing.
    pub notes: Vec<String>,
}

impl Report {
    /// Reads directories: of evaluations, of training runs (with evaluations inside), or files of records.
    ///
    /// # Errors
    /// A directory that is neither, or files that are broken.
    pub fn of(places: &[PathBuf], options: &Options) -> Result<Self> {
        let (mut answers, mut training) = (Answers::default(), vec![]);
        for place in places {
            let found = [
                answers.add(place)?,
                answers.add(&place.join(INSIDE))?,
                place.join(training::FILE).is_file(),
            ];
            if found[2] {
                training.push(Training::read(place)?);
            }
            if !found.contains(&true) {
                let expected = format!("a directory with {} or {}", store::FILE, training::FILE);
                return Err(Error::differs("command line", "DIR", expected, place.display()));
            }
        }
        let Answers { records, commands, elsewhere } = answers;
        let records = records.sorted();
        let summary = Summary::of(&records, &Bootstrap::default());
        let (exhibits, notes) = exhibits::choose(&records, &summary.runs, &commands, options);
        let version = env!("CARGO_PKG_VERSION").into();
        Ok(Self { version, summary, elsewhere, commands, training, exhibits, notes })
    }

    /// Writes `out` (HTML), and beside it the same with the endings `md` and `json`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, out: &Path) -> Result<()> {
        if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        write_whole(out, page::html(self).as_bytes())?;
        write_whole(&out.with_extension("md"), markdown::document(self).as_bytes())?;
        write_json(&out.with_extension("json"), self)
    }
}

/// What directories of evaluations hold.
#[derive(Default)]
struct Answers {
    records: Records,
    commands: Vec<Invocation>,
    elsewhere: Vec<Elsewhere>,
}

impl Answers {
    /// Adds an evaluation; whether there is one.
    fn add(&mut self, place: &Path) -> Result<bool> {
        let file = if place.is_file() { place.to_owned() } else { place.join(store::FILE) };
        if !file.is_file() {
            return Ok(false);
        }
        let read: Vec<Record> = Records::read(&file)?.records;
        read.into_iter().for_each(|record| self.records.add(record));
        let folder = file.parent().unwrap_or(Path::new("."));
        for run in Settings::read(folder)?.runs {
            if !self.commands.contains(&run) {
                self.commands.push(run);
            }
        }
        self.elsewhere.extend(noted(folder)?);
        Ok(true)
    }
}
