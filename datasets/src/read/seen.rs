//! How far the files have been read, for whoever shows progress.

use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of bytes that readers add to.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<AtomicU64>);

impl Seen {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `path`, counting what is read of it.
    pub(super) fn open(&self, path: &Path) -> Result<Counted<File>> {
        Ok(Counted { inner: File::open(path).map_err(Error::io(path))?, seen: self.clone() })
    }
}

/// A reader that counts.
pub(super) struct Counted<R> {
    inner: R,
    seen: Seen,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.seen.add(read as u64);
        Ok(read)
    }
}
