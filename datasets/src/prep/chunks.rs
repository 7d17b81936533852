//! Records cut into chunks that are worked on in parallel, and imported whole or not at all. Where a chunk ends depends
//! on the rows alone, so a second run cuts alike. A chunk is bounded in rows and in bytes, whatever the file.

use super::records::{Record, Records};
use super::reject::{Kind, Reject};
use super::row::hash;
use crate::{ImageRef, Sample};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Encoded bytes after which a chunk ends.
const CHUNK_BYTES: u64 = 48 << 20;
/// Rows after which a chunk ends.
const CHUNK_ROWS: usize = 1024;

/// Some rows: records, and rejects already known.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) records: Vec<Result<Record, Reject>>,
    pub(super) rows: u64,
    pub(super) other_shards: u64,
    bytes: u64,
}

/// The chunks of a source.
pub(super) struct Chunks {
    records: Records,
    /// Ids by hash, with the row that had it first.
    ids: HashMap<u128, u64>,
    shard: (u64, u64),
}

impl Chunks {
    pub(super) fn new(records: Records, shard: (u64, u64)) -> Self {
        Self { records, ids: HashMap::new(), shard }
    }

    /// How much of the files has been read, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.records.share()
    }

    pub(super) fn next(&mut self) -> Option<Chunk> {
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

fn unique(ids: &mut HashMap<u128, u64>, record: Record) -> Result<Record, Reject> {
    match &record.sample {
        Err(reason) => Err(record.reject(Kind::Broken, reason)),
        Ok(sample) => match ids.entry(hash([sample.id.as_bytes()])) {
            Entry::Vacant(free) => {
                free.insert(record.row);
                Ok(record)
            }
            Entry::Occupied(first) => {
                let reason = format!("id `{}` was seen before, in row {}", sample.id, first.get());
                Err(record.reject(Kind::Duplicate, reason))
            }
        },
    }
}

/// Encoded size of a sample.
fn size_of(sample: &Sample) -> u64 {
    let image = |image: &ImageRef| match image {
        ImageRef::Rgb(image) => image.as_raw().len() as u64,
        encoded => encoded.stored(),
    };
    sample.images.iter().map(image).sum::<u64>() + sample.problem.len() as u64
}
