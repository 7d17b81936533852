//! Import: any source to `data.parquet`, `rejects.jsonl` and `import.json`, with rows in (+ rows that a transform made)
//! = rows out + rejects (+ rows of other shards). Killed at any instant and run again, it ends with the same files.

use super::check::Filter;
use super::chunks::{Chunk, Chunks};
use super::measure::Measure;
use super::parts::{Done, OUTPUTS, Parts};
use super::records::{self, SourceSpec};
use super::reject::Kind;
use super::row::row;
use crate::write::{line, whole};
use crate::{Error, Result, Sample};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What to import, what to keep of it, and where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// What to read.
    pub spec: SourceSpec,
    /// What to keep.
    pub filter: Filter,
    /// `(i, n)`: every n-th row from the i-th on, 0-based.
    pub shard: (u64, u64),
    /// Larger images are scaled down to this many pixels.
    pub shrink_to: Option<u64>,
    /// Share of images that go to `validation.parquet`, by a hash of the image, so that both share none.
    pub validation: f64,
    /// What the hooks do, in the caller's words: an import with other hooks is another import.
    pub hooks: Vec<String>,
    /// The folder to write.
    #[serde(skip)]
    pub out: PathBuf,
}

/// A change of a sample. It may add others, such as degraded copies, with ids of their own.
pub type Transform<'a> = &'a (dyn Fn(Sample) -> Result<Vec<Sample>> + Sync);

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Rows read.
    pub rows: u64,
    /// How much of the files that is, 0 to 1.
    pub share: f64,
}

/// What a caller may hook in.
#[derive(Clone, Copy, Default)]
pub struct Hooks<'a> {
    /// Called after every chunk.
    pub progress: Option<&'a (dyn Fn(Progress) + Sync)>,
    /// For [`Filter::max_tokens`].
    pub measure: Option<&'a dyn Measure>,
    /// Applied to every sample that passes.
    pub transform: Option<Transform<'a>>,
    /// Once true, the import ends after the chunk at hand with [`Error::Stopped`].
    pub stop: Option<&'a AtomicBool>,
}

/// `import.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The layout of this file.
    pub version: u32,
    /// What was asked for.
    pub options: ImportOptions,
    /// The format, as given or found.
    pub format: String,
    /// The files read with their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// Rows read.
    pub rows_in: u64,
    /// Rows that a transform added.
    pub rows_made: u64,
    /// Rows in `data.parquet` and `validation.parquet` together.
    pub rows_out: u64,
    /// Those of them in `validation.parquet`.
    pub rows_validation: u64,
    /// Rows in `rejects.jsonl`, by kind.
    pub rejected: BTreeMap<String, u64>,
    /// Rows that belong to other shards.
    pub other_shards: u64,
}

/// Imports.
///
/// # Errors
/// The source cannot be opened, the folder holds another import, a file cannot be written, or it was told to stop.
pub fn import(options: &ImportOptions, hooks: Hooks) -> Result<Report> {
    options.check(&hooks)?;
    std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out))?;
    let records = records::open_in(&options.spec, &options.out)?;
    let mut report = empty_report(options, &records);
    if let Some(found) = finished(&options.out, &report)? {
        return Ok(found);
    }
    let plan = serde_json::to_string(&report).map_err(|e| Error::Invalid(e.to_string()))?;
    let parts = Parts::open(&options.out, &plan)?;
    let chunks =
        work_off(Chunks::new(records, options.shard), hooks, &mut report, |chunk, count, seen| match parts
            .done(count)
        {
            Some(done) => Ok(done),
            None => process(chunk, count, options, hooks, &parts, seen),
        })?;
    parts.join(chunks, &options.out)?;
    let path = options.out.join("import.json");
    whole(&path, |file| line(file, &path, &report))?;
    parts.remove()?;
    Ok(report)
}

/// Hands every chunk with its number and the content hashes before it to `work`, while the next one is read.
fn work_off(
    mut chunks: Chunks,
    hooks: Hooks,
    report: &mut Report,
    work: impl Fn(Chunk, usize, &HashSet<u128>) -> Result<Done> + Sync,
) -> Result<usize> {
    let mut hashes = HashSet::new();
    let mut count = 0;
    let mut next = chunks.next();
    while let Some(chunk) = next {
        if hooks.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::Stopped { rows: report.rows_in });
        }
        let (done, after) = rayon::join(|| work(chunk, count, &hashes), || chunks.next());
        let done = done?;
        next = after;
        report.add(&done);
        hashes.extend(done.hashes);
        count += 1;
        if let Some(progress) = hooks.progress {
            progress(Progress { rows: report.rows_in, share: chunks.share() });
        }
    }
    Ok(count)
}

impl ImportOptions {
    fn check(&self, hooks: &Hooks) -> Result<()> {
        let (shard, shards) = self.shard;
        if shard >= shards {
            let last = shards.max(1) - 1;
            return Err(Error::Invalid(format!("shard {shard} of {shards}: shards count from 0 to {last}")));
        }
        if !(0. ..1.).contains(&self.validation) {
            let share = self.validation;
            return Err(Error::Invalid(format!("validation {share}: a share is at least 0 and below 1")));
        }
        if self.filter.max_tokens.is_some() && hooks.measure.is_none() {
            return Err(Error::Invalid("a limit on tokens needs a tokenizer".into()));
        }
        self.filter.check()
    }
}

fn empty_report(options: &ImportOptions, records: &records::Records) -> Report {
    Report {
        version: 1,
        options: options.clone(),
        format: records.format.to_owned(),
        files: records.files.clone(),
        rows_in: 0,
        rows_made: 0,
        rows_out: 0,
        rows_validation: 0,
        rejected: BTreeMap::new(),
        other_shards: 0,
    }
}

/// The report of an import that is already there; an error where it is of something else.
fn finished(out: &Path, plan: &Report) -> Result<Option<Report>> {
    let path = out.join("import.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let mut found: Report = serde_json::from_str(&text).map_err(|e| Error::file(&path, e))?;
    found.options.out = plan.options.out.clone();
    if (&found.options, &found.files) != (&plan.options, &plan.files) {
        let message =
            "the folder holds an import of another source or with other options; choose another folder";
        return Err(Error::file(&path, message));
    }
    let leftover = out.join(".parts");
    if leftover.is_dir() {
        std::fs::remove_dir_all(&leftover).map_err(Error::io(&leftover))?;
    }
    Ok(Some(found))
}

impl Report {
    fn add(&mut self, done: &Done) {
        self.rows_in += done.rows_in;
        self.rows_made += done.rows_made;
        self.rows_out += done.rows_out.iter().sum::<u64>();
        self.rows_validation += done.rows_out[1];
        self.other_shards += done.other_shards;
        for (kind, n) in &done.rejected {
            *self.rejected.entry(kind.clone()).or_default() += n;
        }
    }
}

fn process(
    chunk: Chunk,
    index: usize,
    options: &ImportOptions,
    hooks: Hooks,
    parts: &Parts,
    seen: &HashSet<u128>,
) -> Result<Done> {
    let mut done = Done { rows_in: chunk.rows, other_shards: chunk.other_shards, ..Done::default() };
    let each = |record: std::result::Result<_, _>| record.and_then(|record| row(record, options, hooks));
    let rows: Vec<_> = chunk.records.into_par_iter().map(each).collect();
    let mut outputs: [Vec<Sample>; OUTPUTS.len()] = Default::default();
    let mut rejects = Vec::new();
    let mut here = HashSet::new();
    for row in rows {
        match row {
            Ok((record, passed)) => {
                let known = |hash, here: &mut HashSet<_>| seen.contains(&hash) || !here.insert(hash);
                if options.filter.drop_duplicates && known(passed.content, &mut here) {
                    let reason = "the same question about the same images was seen before";
                    rejects.push(record.reject(Kind::Filtered, reason));
                    continue;
                }
                done.rows_made += passed.samples.len() as u64 - 1;
                outputs[passed.output].extend(passed.samples);
            }
            Err(reject) => rejects.push(reject),
        }
    }
    done.rows_out = [outputs[0].len() as u64, outputs[1].len() as u64];
    done.hashes = here.into_iter().collect();
    done.hashes.sort_unstable();
    for reject in &rejects {
        *done.rejected.entry(format!("{:?}", reject.kind).to_lowercase()).or_default() += reject.rows;
    }
    parts.write(index, [&outputs[0], &outputs[1]], &rejects, done)
}
