//! A file of results, one JSON object a line, that is whole or not there.
//!
//! Rows go to `OUT.part` as they come, so that a run that is stopped leaves what it has done; when all are
//! there the file takes its name.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// A file on its way.
pub struct Output {
    path: PathBuf,
    draft: PathBuf,
    file: BufWriter<File>,
    rows: usize,
}

impl Output {
    /// Starts `path`.part; `source` is the file the results are made from, which must be another.
    pub fn create(path: &Path, source: &Path) -> Outcome<Self> {
        let same = std::fs::canonicalize(path).ok().zip(std::fs::canonicalize(source).ok());
        if same.is_some_and(|(out, source)| out == source) {
            return Err(Failure::differs("command line", "--out", "another file than IN", path.display()));
        }
        if path.is_dir() {
            return Err(Failure::differs(path.display(), "--out", "a file", "a directory"));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let draft = PathBuf::from(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(Failure::io(folder))?;
        }
        let file = BufWriter::new(File::create(&draft).map_err(Failure::io(&draft))?);
        Ok(Self { path: path.into(), draft, file, rows: 0 })
    }

    /// Adds a line.
    pub fn write(&mut self, row: &impl Serialize) -> Outcome<()> {
        let mut line = serde_json::to_vec(row).map_err(Failure::work)?;
        line.push(b'\n');
        self.rows += 1;
        self.file.write_all(&line).map_err(Failure::io(&self.draft))
    }

    /// Hands the lines so far to the system.
    pub fn flush(&mut self) -> Outcome<()> {
        self.file.flush().map_err(Failure::io(&self.draft))
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Outcome<()> {
        self.flush()?;
        self.file.get_ref().sync_all().map_err(Failure::io(&self.draft))?;
        std::fs::rename(&self.draft, &self.path).map_err(Failure::io(&self.path))
    }

    /// Leaves the draft; the failure says where.
    pub fn stopped(mut self) -> Failure {
        let flushed = self.flush();
        let message = format!("stopped as asked; {} rows are in {}", self.rows, self.draft.display());
        flushed.err().unwrap_or_else(|| Failure::work(message))
    }
}
