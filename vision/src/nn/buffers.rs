//! Reused scratch memory.
//!
//! A training step asks for the same sizes again and again; fresh memory would be zero-filled, and large
//! blocks faulted in page by page, each time. A [`Buffer`] goes back to the pool when dropped, unless the
//! pool is full: rows of changing length must not make it grow.

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Elements the pool keeps at most: 256 MiB.
const CAPACITY: usize = 64 << 20;

#[derive(Default)]
struct Pool {
    by_len: BTreeMap<usize, Vec<Vec<f32>>>,
    held: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { by_len: BTreeMap::new(), held: 0 });

impl Pool {
    /// Memory of at least `len` elements, at most a quarter longer.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let found = self.by_len.range_mut(len..=len + len / 4).find_map(|(_, stack)| stack.pop())?;
        self.held -= found.len();
        Some(found)
    }

    fn put(&mut self, data: Vec<f32>) {
        if self.held + data.len() <= CAPACITY {
            self.held += data.len();
            self.by_len.entry(data.len()).or_default().push(data);
        }
    }
}

/// Scratch memory whose first contents are unspecified: write before you read.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    data: Vec<f32>,
    len: usize,
}

impl Buffer {
    pub(crate) fn new(len: usize) -> Self {
        let pooled = POOL.lock().unwrap_or_else(PoisonError::into_inner).take(len);
        Self { data: pooled.unwrap_or_else(|| vec![0.0; len]), len }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }

    pub(crate) fn copy_of(data: &[f32]) -> Self {
        let mut buffer = Self::new(data.len());
        buffer.copy_from_slice(data);
        buffer
    }

    /// The memory as a vector, lost to the pool.
    pub(crate) fn into_vec(mut self) -> Vec<f32> {
        let mut data = take(&mut self.data);
        data.truncate(self.len);
        data
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.data.is_empty() {
            POOL.lock().unwrap_or_else(PoisonError::into_inner).put(take(&mut self.data));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.len]
    }
}
