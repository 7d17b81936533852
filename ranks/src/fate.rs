//! What became of the ranks, as far as this one knows: the first loss counts, what follows from it does not.

use crate::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a rank that sees a connection end waits to be told what was behind it.
const GRACE: Duration = Duration::from_millis(1500);

/// Shared by all that waits and all that watches; clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct Fate(Arc<Mutex<Option<Error>>>);

impl Fate {
    /// Remembers a loss, unless there is one already.
    pub fn seal(&self, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// The loss, if there is one.
    pub fn sealed(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The loss, as an error.
    ///
    /// # Errors
    /// The loss.
    pub fn check(&self) -> crate::Result<()> {
        self.sealed().map_or(Ok(()), Err)
    }

    /// The loss behind the end of a connection to rank `rank`: whoever watches may know another rank that
    /// went first, and why.
    pub fn behind(&self, rank: usize, why: String) -> Error {
        let clock = Instant::now();
        while self.sealed().is_none() && clock.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.seal(Error::Lost { rank, why: why.clone() });
        self.sealed().unwrap_or(Error::Lost { rank, why })
    }
}
