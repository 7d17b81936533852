//! Reused scratch memory.
//!
//! A training step asks for the same sizes again and again; fresh memory would be zero-filled, and large
//! blocks faulted in page by page, each time. A [`Buffer`] goes back to the pool when dropped, as long as
//! the pool and what is in use stay within what was once in use together: rows of changing length must
//! not make it grow.

use std::collections::BTreeMap;
use std::mem::take;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

struct Pool {
    by_len: BTreeMap<usize, Vec<Vec<f32>>>,
    /// Elements in the pool, in use now, and in use at most so far.
    held: usize,
    live: usize,
    peak: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { by_len: BTreeMap::new(), held: 0, live: 0, peak: 0 });

impl Pool {
    /// Memory of at least `len` elements, at most a quarter longer.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let found = self.by_len.range_mut(len..=len + len / 4).find_map(|(_, stack)| stack.pop());
        let taken = found.as_ref().map_or(len, Vec::len);
        if found.is_some() {
            self.held -= taken;
        }
        self.live += taken;
        self.peak = self.peak.max(self.live);
        found
    }

    fn put(&mut self, data: Vec<f32>) -> Option<Vec<f32>> {
        self.live = self.live.saturating_sub(data.len());
        if self.held + self.live + data.len() > self.peak {
            return Some(data);
        }
        self.held += data.len();
        self.by_len.entry(data.len()).or_default().push(data);
        None
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
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.live = pool.live.saturating_sub(data.len());
        drop(pool);
        data.truncate(self.len);
        data
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.data.is_empty() {
            // What the pool will not have is freed after its lock is.
            let refused = POOL.lock().unwrap_or_else(PoisonError::into_inner).put(take(&mut self.data));
            drop(refused);
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
