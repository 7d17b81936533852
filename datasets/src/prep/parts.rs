//! An import in pieces that survive a kill: each chunk of rows becomes part files, whole or absent, and a last one
//! that says the chunk is done, with the lengths and checksums of the others.
//!
//! Parts are not synced to the disk: on many disks that takes longer than all the work of a chunk. A process that is
//! killed loses nothing by it, and after a power cut a part that is not what its last file says is made again.

use super::Reject;
use crate::write::parquet::ParquetWriter;
use crate::write::{line, renamed, whole};
use crate::{Error, Result, Sample};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The outputs of an import; every one may be empty.
pub(super) const OUTPUTS: [&str; 2] = ["data", "validation"];

/// What a chunk came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) rows_in: u64,
    /// Rows that a transform added.
    pub(super) rows_made: u64,
    /// Rows in each of [`OUTPUTS`].
    pub(super) rows_out: [u64; 2],
    /// Rejected rows by kind.
    pub(super) rejected: BTreeMap<String, u64>,
    /// Rows that belong to other shards.
    pub(super) other_shards: u64,
    /// Content hashes of the rows that came through, kept only where duplicates are dropped.
    pub(super) hashes: Vec<u128>,
    /// The part files of the chunk.
    pub(super) files: Vec<Sealed>,
}

/// A part file and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    what: String,
    bytes: u64,
    crc: u32,
}

/// Counts and sums up what is written.
struct Sealing<W> {
    inner: W,
    crc: flate2::Crc,
    bytes: u64,
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.crc.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
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
        renamed(&plan_path, |f| f.write_all(plan.as_bytes()).map_err(Error::io(&plan_path)))?;
        Ok(Self { folder })
    }

    fn path(&self, chunk: usize, what: &str) -> PathBuf {
        self.folder.join(format!("{chunk:06}.{what}"))
    }

    /// What a chunk came to, if it is done and its files are what they were.
    pub(super) fn done(&self, chunk: usize) -> Option<Done> {
        let text = std::fs::read_to_string(self.path(chunk, "json")).ok()?;
        let done: Done = serde_json::from_str(&text).ok()?;
        done.files.iter().all(|file| self.intact(chunk, file)).then_some(done)
    }

    fn intact(&self, chunk: usize, file: &Sealed) -> bool {
        let Ok(mut from) = File::open(self.path(chunk, &file.what)) else { return false };
        let mut seal = Sealing { inner: std::io::sink(), crc: flate2::Crc::new(), bytes: 0 };
        std::io::copy(&mut from, &mut seal).is_ok() && (seal.bytes, seal.crc.sum()) == (file.bytes, file.crc)
    }

    /// Writes the files of a chunk and gives back what it came to.
    pub(super) fn write(
        &self,
        chunk: usize,
        samples: [&[Sample]; 2],
        rejects: &[Reject],
        mut done: Done,
    ) -> Result<Done> {
        for (output, samples) in OUTPUTS.iter().zip(samples).filter(|(_, samples)| !samples.is_empty()) {
            let what = format!("{output}.parquet");
            let path = self.path(chunk, &what);
            done.files.push(self.seal(chunk, what, |file| {
                let mut writer = ParquetWriter::new(file, &path)?;
                writer.group(samples)?;
                writer.finish()
            })?);
        }
        let path = self.path(chunk, "rejects.jsonl");
        done.files.push(self.seal(chunk, "rejects.jsonl".into(), |file| {
            rejects.iter().try_for_each(|reject| line(file, &path, reject))
        })?);
        let path = self.path(chunk, "json");
        renamed(&path, |file| line(file, &path, &done))?;
        Ok(done)
    }

    fn seal(
        &self,
        chunk: usize,
        what: String,
        fill: impl FnOnce(&mut Sealing<&mut BufWriter<File>>) -> Result<()>,
    ) -> Result<Sealed> {
        let mut sealed = Sealed { what, bytes: 0, crc: 0 };
        renamed(&self.path(chunk, &sealed.what), |inner| {
            let mut seal = Sealing { inner, crc: flate2::Crc::new(), bytes: 0 };
            fill(&mut seal)?;
            (sealed.bytes, sealed.crc) = (seal.bytes, seal.crc.sum());
            Ok(())
        })?;
        Ok(sealed)
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
