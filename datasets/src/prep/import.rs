//! Import: any source to `data.parquet`, `rejects.jsonl` and `import.json`, with rows in = rows out + rejects (+ rows
//! of other shards). Killed at any instant and run again, it ends with the same files.

use super::check::{self, Filter};
use super::parts::{Done, OUTPUTS, Parts};
use super::records::{self, Record, SourceSpec};
use super::reject::{Kind, Reject};
use crate::write::{line, whole};
use crate::{DecodeLimits, Encoded, Error, ImageRef, Result, Sample};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Encoded bytes after which a chunk ends.
const CHUNK_BYTES: u64 = 48 << 20;
/// Rows after which a chunk ends.
const CHUNK_ROWS: usize = 1024;

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
    /// The folder to write.
    #[serde(skip)]
    pub out: PathBuf,
}

/// A count of prompt tokens.
pub type CountTokens<'a> = &'a (dyn Fn(&Sample) -> Result<usize> + Sync);
/// A change of a sample, such as degraded copies of its images.
pub type Transform<'a> = &'a (dyn Fn(Sample) -> Result<Sample> + Sync);

/// What a caller may hook in.
#[derive(Clone, Copy, Default)]
pub struct Hooks<'a> {
    /// Called with the rows read so far, after every chunk.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
    /// For [`Filter::max_tokens`].
    pub tokens: Option<CountTokens<'a>>,
    /// Applied to every sample that passes.
    pub transform: Option<Transform<'a>>,
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
/// The source cannot be opened, the folder holds another import, or a file cannot be written.
pub fn import(options: &ImportOptions, hooks: Hooks) -> Result<Report> {
    let (shard, shards) = options.shard;
    if shard >= shards {
        return Err(Error::Invalid(format!(
            "shard {shard} of {shards}: shards count from 0 to {}",
            shards.max(1) - 1
        )));
    }
    if options.filter.max_tokens.is_some() && hooks.tokens.is_none() {
        return Err(Error::Invalid("a limit on tokens needs a tokenizer".into()));
    }
    let records = records::open(&options.spec)?;
    let mut report = empty_report(options, &records);
    if let Some(found) = finished(&options.out, &report)? {
        return Ok(found);
    }
    std::fs::create_dir_all(&options.out).map_err(Error::io(&options.out))?;
    let plan = serde_json::to_string(&report).map_err(|e| Error::Invalid(e.to_string()))?;
    let parts = Parts::open(&options.out, &plan)?;
    let mut chunks = Chunks { records, ids: HashMap::new(), shard: options.shard };
    let mut hashes = HashSet::new();
    let mut count = 0;
    while let Some(chunk) = chunks.next() {
        let done = match parts.done(count)? {
            Some(done) => done,
            None => process(chunk, count, options, hooks, &parts, &hashes)?,
        };
        report.add(&done);
        hashes.extend(done.hashes);
        count += 1;
        if let Some(progress) = hooks.progress {
            progress(report.rows_in);
        }
    }
    parts.join(count, &options.out)?;
    let path = options.out.join("import.json");
    whole(&path, |file| line(file, &path, &report))?;
    parts.remove()?;
    Ok(report)
}

fn empty_report(options: &ImportOptions, records: &records::Records) -> Report {
    Report {
        version: 1,
        options: options.clone(),
        format: records.format.to_owned(),
        files: records.files.clone(),
        rows_in: 0,
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
        self.rows_out += done.rows_out.iter().sum::<u64>();
        self.rows_validation += done.rows_out[1];
        self.other_shards += done.other_shards;
        for (kind, n) in &done.rejected {
            *self.rejected.entry(kind.clone()).or_default() += n;
        }
    }
}

/// A chunk's rows: records, and rejects already known.
#[derive(Default)]
struct Chunk {
    records: Vec<std::result::Result<Record, Reject>>,
    rows: u64,
    other_shards: u64,
    bytes: u64,
}

/// Cuts records into chunks. Where a chunk ends depends on the rows alone, so a second run cuts alike.
struct Chunks {
    records: records::Records,
    /// Ids by hash, with the row that had it first.
    ids: HashMap<u128, u64>,
    shard: (u64, u64),
}

impl Chunks {
    fn next(&mut self) -> Option<Chunk> {
        let mut chunk = Chunk::default();
        for record in self.records.by_ref() {
            chunk.rows += record.count;
            if record.row % self.shard.1 != self.shard.0 {
                chunk.other_shards += record.count;
                continue;
            }
            chunk.bytes += record.sample.as_ref().map_or(0, size_of);
            chunk.records.push(unique(&mut self.ids, record));
            if chunk.bytes >= CHUNK_BYTES || chunk.records.len() == CHUNK_ROWS {
                return Some(chunk);
            }
        }
        (chunk.rows > 0).then_some(chunk)
    }
}

fn unique(ids: &mut HashMap<u128, u64>, record: Record) -> std::result::Result<Record, Reject> {
    match &record.sample {
        Err(reason) => Err(record.reject(Kind::Broken, reason)),
        Ok(sample) => match ids.insert(hash([sample.id.as_bytes()]), record.row) {
            None => Ok(record),
            Some(first) => {
                let reason = format!("id `{}` was seen before, in row {first}", sample.id);
                Err(record.reject(Kind::Duplicate, reason))
            }
        },
    }
}

/// Encoded size of a sample.
fn size_of(sample: &Sample) -> u64 {
    let image = |image: &ImageRef| match image {
        ImageRef::Path(path) => std::fs::metadata(path).map_or(0, |m| m.len()),
        ImageRef::Bytes { bytes, .. } => bytes.len() as u64,
        ImageRef::Rgb(image) => image.as_raw().len() as u64,
    };
    sample.images.iter().map(image).sum::<u64>() + sample.problem.len() as u64
}

/// What one row came to: the sample, its output and its content hash.
type Passed = (Sample, usize, u128);

fn process(
    chunk: Chunk,
    index: usize,
    options: &ImportOptions,
    hooks: Hooks,
    parts: &Parts,
    seen: &HashSet<u128>,
) -> Result<Done> {
    let rows: Vec<_> =
        chunk.records.into_par_iter().map(|r| r.and_then(|r| row(r, options, hooks))).collect();
    let mut done = Done { rows_in: chunk.rows, other_shards: chunk.other_shards, ..Done::default() };
    let mut outputs = [vec![], vec![]];
    let mut rejects = Vec::new();
    let mut here = HashSet::new();
    for row in rows {
        match row {
            Ok((record, (sample, output, hash))) => {
                if options.filter.drop_duplicates && (seen.contains(&hash) || !here.insert(hash)) {
                    let reason = "the same question about the same images was seen before";
                    rejects.push(record.reject(Kind::Filtered, reason));
                    continue;
                }
                outputs[output].push(sample);
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
    debug_assert_eq!(OUTPUTS.len(), outputs.len());
    parts.write(index, [&outputs[0], &outputs[1]], &rejects, &done)?;
    Ok(done)
}

/// Loads, checks and changes one row.
fn row(
    record: Record,
    options: &ImportOptions,
    hooks: Hooks,
) -> std::result::Result<(Record, Passed), Reject> {
    let passed = match &record.sample {
        Ok(sample) => pass(sample.clone(), options, hooks),
        Err(reason) => Err((Kind::Broken, reason.clone())),
    };
    match passed {
        Ok(passed) => Ok((record, passed)),
        Err((kind, reason)) => Err(record.reject(kind, reason)),
    }
}

fn pass(
    mut sample: Sample,
    options: &ImportOptions,
    hooks: Hooks,
) -> std::result::Result<Passed, (Kind, String)> {
    let broken = |e: Error| (Kind::Broken, e.to_string());
    for image in &mut sample.images {
        *image = loaded(image).map_err(broken)?;
    }
    let images = check::check(&sample, &options.filter, DecodeLimits::default())?;
    if let (Some(most), Some(count)) = (options.filter.max_tokens, hooks.tokens) {
        let tokens = count(&sample).map_err(broken)?;
        if tokens > most {
            return Err((Kind::Filtered, format!("tokens {tokens} is above {most}")));
        }
    }
    let bytes: Vec<Encoded> = sample.images.iter().filter_map(in_memory).collect();
    let content = match options.filter.drop_duplicates {
        true => hash(std::iter::once(sample.problem.as_bytes()).chain(bytes.iter().map(|b| &b[..]))),
        false => 0,
    };
    let output = match (options.validation > 0., bytes.first()) {
        (true, Some(first)) => usize::from(share(hash([&first[..]])) < options.validation),
        (true, None) => usize::from(share(hash([sample.problem.as_bytes()])) < options.validation),
        (false, _) => 0,
    };
    if let Some(pixels) = options.shrink_to {
        shrink(&mut sample, &images, pixels);
    }
    if let Some(transform) = hooks.transform {
        sample = transform(sample).map_err(broken)?;
    }
    Ok((sample, output, content))
}

fn shrink(sample: &mut Sample, images: &[std::sync::Arc<image::RgbImage>], pixels: u64) {
    for (k, (image, decoded)) in sample.images.iter_mut().zip(images).enumerate() {
        if let Some(small) = check::shrink(decoded, pixels) {
            *image = small;
            let size = serde_json::json!([decoded.width(), decoded.height()]);
            sample.meta.insert(format!("resized_from_{k}"), size);
        }
    }
}

/// The image with its bytes in memory, under its own name.
fn loaded(image: &ImageRef) -> Result<ImageRef> {
    match image {
        ImageRef::Path(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok(ImageRef::Bytes { bytes: image.encoded(DecodeLimits::default())?, name })
        }
        other => Ok(other.clone()),
    }
}

fn in_memory(image: &ImageRef) -> Option<Encoded> {
    match image {
        ImageRef::Bytes { bytes, .. } => Some(bytes.clone()),
        _ => image.encoded(DecodeLimits::default()).ok(),
    }
}

/// FNV-1a with 128 bits, a separator after each piece.
fn hash<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u128 {
    let step = |h: u128, b: u8| (h ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    pieces.into_iter().fold(start, |h, piece| step(piece.iter().fold(h, |h, &b| step(h, b)), 0xff))
}

/// A hash as a number in 0..1.
fn share(hash: u128) -> f64 {
    (hash >> 64) as u64 as f64 / (u64::MAX as f64 + 1.)
}
