//! `eval.json`: how the records of a directory came about, so that the same can be done again and pictures
//! can be shown: the commands, the versions, and where the task's files lie.
//!
//! Says nothing of time or place in time: the file of a run that was killed and repeated is that of one that
//! was not.

use crate::{Error, Result};
use foveate_datasets::prep::SourceSpec;
use foveate_datasets::{DataOptions, OpenOptions, Split, Task, open, open_data};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file's name in the directory of an evaluation.
pub const FILE: &str = "eval.json";

/// The name under which imported and foreign data are a task.
const DATA: &str = "data";

/// All that was run into one directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Each command once, in the order of their first runs.
    pub runs: Vec<Invocation>,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invocation {
    /// As typed, quoted for a shell.
    pub command: String,
    /// Of foveate.
    pub version: String,
    /// [`crate::Record::model`].
    pub model: String,
    /// What was asked.
    pub task: TaskSettings,
}

/// How a task is opened again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSettings {
    /// Its name, or `data`.
    pub name: String,
    /// `train` or `test`.
    pub split: String,
    /// Where its files lie.
    pub data: Option<PathBuf>,
    /// For `data`: the format, where its columns do not show it.
    #[serde(default)]
    pub format: Option<String>,
    /// Of what it draws.
    pub seed: u64,
    /// Side of drawn pictures.
    pub size: Option<u32>,
    /// Seed of the order of options; the order of the files without one.
    pub shuffle: Option<u64>,
    /// Whose words the questions are put in.
    pub wording: Option<String>,
}

impl TaskSettings {
    /// Opens the task.
    ///
    /// # Errors
    /// Unknown names, missing or broken files.
    pub fn open(&self) -> Result<Box<dyn Task>> {
        if self.name == DATA {
            let data = self.data.as_ref().map(|data| data.display().to_string());
            let data = data.ok_or_else(|| Error::differs("command line", "--data", "a path", "missing"))?;
            let (train, test) = match self.split()? {
                Split::Train => (Some(data), None),
                Split::Test => (None, Some(data)),
            };
            let spec =
                SourceSpec { format: self.format.clone().unwrap_or_default(), ..SourceSpec::default() };
            return Ok(open_data(&DataOptions { train, test, spec, ..DataOptions::default() })?);
        }
        let (shuffle, wording) = (self.shuffle, self.wording.clone());
        let options = OpenOptions {
            data: self.data.clone(),
            seed: self.seed,
            size: self.size,
            shuffle,
            wording,
            ..OpenOptions::default()
        };
        Ok(open(&self.name, &options)?)
    }

    /// The part of the task.
    ///
    /// # Errors
    /// Neither `train` nor `test`.
    pub fn split(&self) -> Result<Split> {
        let found = Split::ALL.into_iter().find(|split| split.name() == self.split);
        found.ok_or_else(|| Error::differs("command line", "--split", "train or test", &self.split))
    }
}

impl Settings {
    /// Reads the file of `dir`; nothing where there is none.
    ///
    /// # Errors
    /// A file that cannot be read or is not what this wrote.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        serde_json::from_str(&text)
            .map_err(|e| Error::Line { place: path.display().to_string(), message: e.to_string() })
    }

    /// Adds `run`, unless it is there, and writes the file of `dir`.
    ///
    /// # Errors
    /// Those of [`Settings::read`] and of the file system.
    pub fn note(dir: &Path, run: Invocation) -> Result<()> {
        let mut settings = Self::read(dir)?;
        if !settings.runs.contains(&run) {
            settings.runs.push(run);
        }
        write_json(&dir.join(FILE), &settings)
    }
}

/// Writes a value as indented JSON, whole or not at all.
///
/// # Errors
/// Those of the file system.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Work(e.to_string()))?;
    write_whole(path, format!("{text}\n").as_bytes())
}

/// Writes a file beside `path` and renames it there.
///
/// # Errors
/// Those of the file system.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let draft = PathBuf::from(name);
    std::fs::write(&draft, bytes).map_err(Error::io(&draft))?;
    let file = std::fs::File::open(&draft).map_err(Error::io(&draft))?;
    file.sync_all().map_err(Error::io(&draft))?;
    std::fs::rename(&draft, path).map_err(Error::io(path))
}
