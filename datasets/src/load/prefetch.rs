//! Work done ahead of need, on rayon's threads, handed over in order, with a bound on how much lies ready.

use rayon::Yield;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError, sync_channel};

/// A piece of work panicked; its number since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work on item {0} of the loader panicked")]
pub struct Lost(pub u64);

/// An iterator over `work(job)` for the jobs of another one. At most `ahead` results are in the making or wait to be
/// taken, which bounds memory.
pub struct Prefetch<I: Iterator, T> {
    jobs: I,
    work: Arc<dyn Fn(I::Item) -> T + Send + Sync>,
    ahead: usize,
    pending: VecDeque<Receiver<T>>,
    handed: u64,
}

impl<I, T> Prefetch<I, T>
where
    I: Iterator,
    I::Item: Send + 'static,
    T: Send + 'static,
{
    /// Starts at once on the first `ahead` jobs.
    pub fn new(jobs: I, ahead: usize, work: impl Fn(I::Item) -> T + Send + Sync + 'static) -> Self {
        let mut out =
            Self { jobs, work: Arc::new(work), ahead: ahead.max(1), pending: VecDeque::new(), handed: 0 };
        out.fill();
        out
    }

    fn fill(&mut self) {
        while self.pending.len() < self.ahead {
            let Some(job) = self.jobs.next() else { return };
            let (send, receive) = sync_channel(1);
            let work = self.work.clone();
            rayon::spawn(move || {
                // A panic drops the sender, which the taker sees; rayon would end the process.
                let run = std::panic::AssertUnwindSafe(|| work(job));
                if let Ok(result) = std::panic::catch_unwind(run) {
                    // Nobody waits any more when the loader was dropped.
                    drop(send.send(result));
                }
            });
            self.pending.push_back(receive);
        }
    }
}

impl<I, T> Iterator for Prefetch<I, T>
where
    I: Iterator,
    I::Item: Send + 'static,
    T: Send + 'static,
{
    type Item = Result<T, Lost>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = wait(&self.pending.pop_front()?).map_err(|_| Lost(self.handed));
        self.handed += 1;
        self.fill();
        Some(result)
    }
}

/// What comes. A thread of the pool works on while it waits: where it is the only one, nobody else would.
fn wait<T>(receiver: &Receiver<T>) -> Result<T, RecvError> {
    loop {
        match receiver.try_recv() {
            Ok(result) => return Ok(result),
            Err(TryRecvError::Disconnected) => return Err(RecvError),
            Err(TryRecvError::Empty) if rayon::yield_now() == Some(Yield::Executed) => {}
            // No thread of the pool, or nothing is left to begin: another thread is at it.
            Err(TryRecvError::Empty) => return receiver.recv(),
        }
    }
}
