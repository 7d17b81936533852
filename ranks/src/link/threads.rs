//! Ranks that are threads of one process: for tests of everything above.

use super::{Link, late, length};
use crate::fate::Fate;
use crate::{Error, Mesh, Result};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// One rank among threads.
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    /// By rank; its own leads nowhere.
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
    fate: Fate,
    deadline: Duration,
}

/// `size` ranks that wait for each other at most `deadline`.
pub fn group(size: usize, deadline: Duration) -> Vec<Mesh<Threads>> {
    let fate = Fate::default();
    let mut to: Vec<Vec<Sender<Vec<u8>>>> = vec![vec![]; size];
    let mut from: Vec<Vec<Mutex<Receiver<Vec<u8>>>>> = Vec::new();
    for _ in 0..size {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..size).map(|_| channel()).unzip();
        to.iter_mut().zip(senders).for_each(|(to, sender)| to.push(sender));
        from.push(receivers.into_iter().map(Mutex::new).collect());
    }
    let ends = to.into_iter().zip(from).enumerate();
    let rank = |(rank, (to, from))| Threads { rank, to, from, fate: fate.clone(), deadline };
    ends.map(|end| Mesh::new(rank(end))).collect()
}

impl Link for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn exchange(
        &self,
        call: &str,
        outgoing: &[(usize, &[u8])],
        incoming: &mut [(usize, &mut [u8])],
    ) -> Result<()> {
        self.fate.check()?;
        let gone = "its thread ended";
        for (rank, bytes) in outgoing {
            let sent = self.to[*rank].send(bytes.to_vec());
            sent.map_err(|_| self.fate.behind(*rank, gone.into()))?;
        }
        for (rank, bytes) in incoming {
            let found = self.receive(*rank, call)?;
            length(*rank, call, bytes.len(), found.len())?;
            bytes.copy_from_slice(&found);
        }
        Ok(())
    }

    fn abort(&self, why: &str) {
        self.fate.seal(Error::Failed { rank: self.rank, why: why.into() });
    }

    fn lost(&self) -> Option<Error> {
        self.fate.sealed()
    }
}

impl Threads {
    fn receive(&self, rank: usize, call: &str) -> Result<Vec<u8>> {
        let from = self.from[rank].lock().unwrap_or_else(PoisonError::into_inner);
        let clock = Instant::now();
        loop {
            match from.recv_timeout(Duration::from_millis(50)) {
                Ok(bytes) => return Ok(bytes),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.fate.behind(rank, "its thread ended".into()));
                }
                Err(RecvTimeoutError::Timeout) => self.fate.check()?,
            }
            if clock.elapsed() > self.deadline {
                return Err(late(rank, call, self.deadline));
            }
        }
    }
}
