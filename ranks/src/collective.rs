//! What ranks do together.

use crate::{Error, Result};
use std::fmt::Debug;
use std::ops::Range;

/// The ranks of a run. Every rank makes the same calls in the same order; a call returns when what this
/// rank needs is there.
///
/// `parts` cut a buffer by rank: part `r` is rank `r`'s, they may be uneven or empty, and every rank gives
/// the same ones.
///
/// # Errors
/// Of every call: [`Error::Lost`], [`Error::Failed`] or [`Error::Deadline`] when a rank is missing,
/// [`Error::Mismatch`] when ranks do not make the same call. After an error no further call works.
pub trait Collective: Debug + Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Sums over ranks: afterwards this rank's part of `values` holds the sum, the rest is unspecified.
    fn reduce_scatter(&self, values: &mut [f32], parts: &[Range<usize>]) -> Result<()>;

    /// Fills the parts of the other ranks.
    fn all_gather(&self, values: &mut [f32], parts: &[Range<usize>]) -> Result<()>;

    /// Fills the parts of the other ranks on rank `root`; elsewhere nothing changes.
    fn gather(&self, values: &mut [f32], parts: &[Range<usize>], root: usize) -> Result<()>;

    /// Sums over ranks, on all of them.
    fn all_reduce(&self, values: &mut [f32]) -> Result<()> {
        let parts = even_parts(values.len(), self.size());
        self.reduce_scatter(values, &parts)?;
        self.all_gather(values, &parts)
    }

    /// Sums of a few numbers over ranks, on all of them.
    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<()>;

    /// What every rank has to say, in the order of the ranks.
    fn all_gather_bytes(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// What rank `root` has to say.
    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<u8>>;

    /// Returns when every rank is here.
    fn barrier(&self) -> Result<()> {
        self.all_gather_bytes(&[]).map(|_| ())
    }

    /// Tells the others that this rank ends with the error `why`: they end too.
    fn abort(&self, why: &str);

    /// What became of the other ranks, if one is lost: no call can succeed any more.
    fn lost(&self) -> Option<Error> {
        None
    }
}

/// `len` elements cut as evenly as can be.
pub fn even_parts(len: usize, size: usize) -> Vec<Range<usize>> {
    (0..size).map(|r| len * r / size..len * (r + 1) / size).collect()
}

/// A process alone: nothing to add, nobody to wait for.
#[derive(Debug, Clone, Copy, Default)]
pub struct One;

impl Collective for One {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn reduce_scatter(&self, _: &mut [f32], _: &[Range<usize>]) -> Result<()> {
        Ok(())
    }

    fn all_gather(&self, _: &mut [f32], _: &[Range<usize>]) -> Result<()> {
        Ok(())
    }

    fn gather(&self, _: &mut [f32], _: &[Range<usize>], _: usize) -> Result<()> {
        Ok(())
    }

    fn all_reduce_f64(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn all_gather_bytes(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![mine.to_vec()])
    }

    fn broadcast(&self, bytes: Vec<u8>, _: usize) -> Result<Vec<u8>> {
        Ok(bytes)
    }

    fn abort(&self, _: &str) {}
}
