//! Files of one JSON object a line, that survive a kill and go on after a resume.

use crate::{Error, Result};
use serde_json::Value;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// An append-only file of JSON lines. A line goes out in one write, so that a kill can lose the last
/// line but not tear two.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    /// None where another rank writes.
    file: Option<File>,
}

impl JsonLines {
    /// Opens `path` to append, first dropping what a run that is resumed after `step` has not done yet:
    /// lines of later steps, and a torn last line.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn open(path: &Path, step: u64) -> Result<Self> {
        match path.exists() {
            // Nothing is done yet: what is there was written before the first step, and will be again.
            true if step == 0 => std::fs::remove_file(path).map_err(Error::io(path))?,
            true => keep_until(path, step)?,
            false => {}
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_path_buf(), file: Some(file) })
    }

    /// Lines that another rank writes: here they go nowhere.
    pub fn elsewhere() -> Self {
        Self { path: PathBuf::new(), file: None }
    }

    /// Appends lines in one write.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn append(&mut self, lines: impl IntoIterator<Item = impl Display>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        file.write_all(text.as_bytes()).map_err(Error::io(&self.path))
    }
}

/// The objects of a file of JSON lines.
///
/// # Errors
/// [`Error::Io`], or a line that is no JSON.
pub fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let parse = |(n, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| Error::run(path, format!("line {}: {e}", n + 1)))
    };
    text.lines().enumerate().map(parse).collect()
}

fn keep_until(path: &Path, step: u64) -> Result<()> {
    let reader = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let draft = path.with_extension("jsonl.tmp");
    let mut kept = std::io::BufWriter::new(File::create(&draft).map_err(Error::io(&draft))?);
    for line in reader.lines() {
        let line = line.map_err(Error::io(path))?;
        let parsed = serde_json::from_str::<Value>(&line).ok();
        let done = parsed.and_then(|v| v["step"].as_u64()).is_some_and(|s| s <= step);
        if done {
            writeln!(kept, "{line}").map_err(Error::io(&draft))?;
        }
    }
    kept.flush().map_err(Error::io(&draft))?;
    std::fs::rename(&draft, path).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resumed_file_has_no_later_steps_and_no_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n{\"step\":2,\"a\":").unwrap();
        let mut lines = JsonLines::open(&path, 2).unwrap();
        lines.append([&json!({"step": 3, "b": 1})]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n{\"step\":3,\"b\":1}\n");
    }
}
