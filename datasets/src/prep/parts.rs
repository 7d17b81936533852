//! An import in pieces that survive a kill: each chunk of rows becomes part files, whole or absent, and a last one
//! that says the chunk is done.

use super::Reject;
use crate::write::parquet::ParquetWriter;
use crate::write::{line, whole};
use crate::{Error, Result, Sample};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The outputs of an import; every one may be empty.
pub(super) const OUTPUTS: [&str; 2] = ["data", "validation"];

/// What a chunk came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) rows_in: u64,
    /// Rows in each of [`OUTPUTS`].
    pub(super) rows_out: [u64; 2],
    /// Rejected rows by kind.
    pub(super) rejected: BTreeMap<String, u64>,
    /// Rows that belong to other shards.
    pub(super) other_shards: u64,
    /// Content hashes of the rows that came through, kept only where duplicates are dropped.
    pub(super) hashes: Vec<u128>,
}

/// The folder of part files.
pub(super) struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// Opens the folder; parts of an import with another `plan` are thrown away.
    pub(super) fn open(out: &Path, plan: &str) -> Result<Self> {
        let folder = out.join(".parts");
        let plan_path = folder.join("plan.json");
        if std::fs::read_to_string(&plan_path).is_ok_and(|found| found != plan) {
            std::fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        whole(&plan_path, |f| f.write_all(plan.as_bytes()).map_err(Error::io(&plan_path)))?;
        Ok(Self { folder })
    }

    fn path(&self, chunk: usize, what: &str) -> PathBuf {
        self.folder.join(format!("{chunk:06}.{what}"))
    }

    /// What a chunk came to, if it is done.
    pub(super) fn done(&self, chunk: usize) -> Result<Option<Done>> {
        let path = self.path(chunk, "json");
        match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| Error::file(&path, e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path)(e)),
        }
    }

    pub(super) fn write(
        &self,
        chunk: usize,
        samples: [&[Sample]; 2],
        rejects: &[Reject],
        done: &Done,
    ) -> Result<()> {
        for (output, samples) in OUTPUTS.iter().zip(samples) {
            if !samples.is_empty() {
                let path = self.path(chunk, &format!("{output}.parquet"));
                whole(&path, |file| {
                    let mut writer = ParquetWriter::new(file, &path)?;
                    writer.group(samples)?;
                    writer.finish()
                })?;
            }
        }
        let path = self.path(chunk, "rejects.jsonl");
        whole(&path, |file| rejects.iter().try_for_each(|reject| line(file, &path, reject)))?;
        let path = self.path(chunk, "json");
        whole(&path, |file| line(file, &path, done))
    }

    /// Joins the parts of all `chunks` into the final files.
    pub(super) fn join(&self, chunks: usize, out: &Path) -> Result<()> {
        for output in OUTPUTS {
            let parts: Vec<_> = (0..chunks).map(|c| self.path(c, &format!("{output}.parquet"))).collect();
            let parts: Vec<_> = parts.into_iter().filter(|p| p.is_file()).collect();
            let path = out.join(format!("{output}.parquet"));
            if parts.is_empty() && output != OUTPUTS[0] {
                continue;
            }
            whole(&path, |file| {
                let mut writer = ParquetWriter::new(file, &path)?;
                parts.iter().try_for_each(|part| writer.append(part))?;
                writer.finish()
            })?;
        }
        let path = out.join("rejects.jsonl");
        whole(&path, |file| {
            for chunk in 0..chunks {
                let part = self.path(chunk, "rejects.jsonl");
                let mut from = BufReader::new(File::open(&part).map_err(Error::io(&part))?);
                std::io::copy(&mut from.by_ref(), file).map_err(Error::io(&path))?;
            }
            Ok(())
        })
    }

    /// Throws the parts away.
    pub(super) fn remove(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.folder).map_err(Error::io(&self.folder))
    }
}
