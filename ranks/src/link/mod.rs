//! What moves bytes between ranks.

#[cfg(feature = "mpi")]
pub mod mpi;
pub mod tcp;
pub mod threads;

use crate::{Error, Result};
use std::fmt::Debug;
use std::time::Duration;

/// Bytes between every two ranks.
pub trait Link: Debug + Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Sends and receives at the same time, each message whole, messages between two ranks in order.
    /// `call` says in errors what it is for.
    ///
    /// # Errors
    /// As of [`crate::Collective`].
    fn exchange(
        &self,
        call: &str,
        outgoing: &[(usize, &[u8])],
        incoming: &mut [(usize, &mut [u8])],
    ) -> Result<()>;

    /// Tells the others that this rank ends with an error.
    fn abort(&self, why: &str);

    /// What became of the others.
    fn lost(&self) -> Option<Error>;
}

/// That `rank` did not do its part of `call` in time.
fn late(rank: usize, call: &str, deadline: Duration) -> Error {
    Error::Deadline { rank, call: call.into(), seconds: deadline.as_secs() }
}

/// A message from `rank` that is not as long as it must be.
fn length(rank: usize, call: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let what = format!("the bytes it sends in `{call}`");
    Err(Error::Mismatch { rank, what, expected: expected.to_string(), found: found.to_string() })
}
