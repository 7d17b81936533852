//! An encoded image inside a larger file (a table's cell, a tar's entry), read each time it is needed, so that a benchmark
//! of gigabytes takes no memory.

use crate::formats::base64;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

/// A stretch of an open file.
#[derive(Clone, Debug)]
pub struct Part {
    file: Arc<Mutex<File>>,
    start: u64,
    /// Bytes in the file.
    stored: usize,
    /// Of the image: fewer than are stored where the file has them as base64 text.
    bytes: u64,
    text: bool,
    /// Of what is stored where that was read already, else of its place.
    hash: u64,
}

impl Part {
    /// `stored` bytes from `start` on, as they are.
    pub(crate) fn plain(file: Arc<Mutex<File>>, start: u64, stored: u64) -> Self {
        let bytes = stored;
        Self {
            file,
            start,
            stored: usize::try_from(stored).unwrap_or(usize::MAX),
            bytes,
            text: false,
            hash: start,
        }
    }

    /// The base64 text `text`, which stands in the file from `start` on and holds `bytes` bytes.
    pub(crate) fn base64(file: Arc<Mutex<File>>, start: u64, text: &str, bytes: u64) -> Self {
        Self { file, start, stored: text.len(), bytes, text: true, hash: hash(text.as_bytes()) }
    }

    /// Bytes of the encoded image.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Where it stands in which file.
    pub(crate) fn place(&self) -> String {
        format!("{:p}:{}", Arc::as_ptr(&self.file), self.start)
    }

    /// Equal images have equal hashes, where what is stored was read before.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether it is the same image: one place, or the same bytes in two.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let alike = (self.hash, self.stored, self.text) == (other.hash, other.stored, other.text);
        self.place() == other.place()
            || alike
                && self.text
                && self.stored().ok().is_some_and(|own| other.stored().is_ok_and(|o| o == own))
    }

    /// The encoded image.
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        let stored = self.stored().map_err(|e| e.to_string())?;
        match self.text {
            true => base64(&stored).ok_or_else(|| "is no base64 any more".into()),
            false => Ok(stored),
        }
    }

    fn stored(&self) -> std::io::Result<Vec<u8>> {
        stretch(&self.file, self.start, self.stored)
    }
}

/// `length` bytes of `file` from `start` on.
pub(crate) fn stretch(file: &Mutex<File>, start: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
