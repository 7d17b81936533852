//! Ranks over plain TCP: a connection between every two, for machines without MPI.

use super::{Link, late, length};
use crate::fate::Fate;
use crate::watch::Watch;
use crate::{Error, Mesh, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a socket blocks before it is asked whether all is well.
const BLINK: Duration = Duration::from_millis(100);
/// What sockets take in without a reader at the other end.
const SMALL: usize = 1 << 15;

/// One rank and its connections.
#[derive(Debug)]
pub struct Tcp {
    rank: usize,
    /// By rank; none to itself.
    streams: Vec<Option<TcpStream>>,
    fate: Fate,
    watch: Watch,
    deadline: Duration,
}

impl Tcp {
    /// Rank `rank` over `streams` (by rank, none to itself), which are watched over `watch`.
    ///
    /// # Errors
    /// Those of the sockets.
    pub(crate) fn over(
        rank: usize,
        streams: Vec<Option<TcpStream>>,
        (watch, fate): (Watch, Fate),
        deadline: Duration,
    ) -> Result<Mesh<Self>> {
        let prepare = |stream: &TcpStream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(BLINK))?;
            stream.set_write_timeout(Some(BLINK))
        };
        streams.iter().flatten().try_for_each(prepare).map_err(Error::engine("tcp"))?;
        Ok(Mesh::new(Self { rank, streams, fate, watch, deadline }))
    }

    /// Moves bytes over the connection to `rank` with `step` until it says that all are moved.
    fn work(
        &self,
        (rank, call): (usize, &str),
        mut step: impl FnMut(&mut &TcpStream) -> std::io::Result<Option<usize>>,
    ) -> Result<()> {
        let Some(mut stream) = self.streams.get(rank).and_then(Option::as_ref) else {
            return Err(Error::engine("tcp")(format!("there is no rank {rank}")));
        };
        let mut clock = Instant::now();
        loop {
            match step(&mut stream) {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => return Err(self.fate.behind(rank, "its connection ended".into())),
                Ok(Some(_)) => clock = Instant::now(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.fate.check()?;
                    if clock.elapsed() > self.deadline {
                        return Err(late(rank, call, self.deadline));
                    }
                }
                Err(e) => return Err(self.fate.behind(rank, e.to_string())),
            }
        }
    }

    fn write(&self, whom: (usize, &str), mut bytes: &[u8]) -> Result<()> {
        self.work(whom, |stream| {
            if bytes.is_empty() {
                return Ok(None);
            }
            let n = stream.write(bytes)?;
            bytes = &bytes[n..];
            Ok(Some(n))
        })
    }

    fn read(&self, whom: (usize, &str), bytes: &mut [u8]) -> Result<()> {
        let mut at = 0;
        self.work(whom, |stream| {
            if at == bytes.len() {
                return Ok(None);
            }
            let n = stream.read(&mut bytes[at..])?;
            at += n;
            Ok(Some(n))
        })
    }

    fn send(&self, call: &str, outgoing: &[(usize, &[u8])]) -> Result<()> {
        for (rank, bytes) in outgoing {
            self.write((*rank, call), &(bytes.len() as u64).to_le_bytes())?;
            self.write((*rank, call), bytes)?;
        }
        Ok(())
    }

    fn receive(&self, call: &str, incoming: &mut [(usize, &mut [u8])]) -> Result<()> {
        for (rank, bytes) in incoming {
            let mut head = [0; 8];
            self.read((*rank, call), &mut head)?;
            length(*rank, call, bytes.len(), u64::from_le_bytes(head) as usize)?;
            self.read((*rank, call), bytes)?;
        }
        Ok(())
    }
}

impl Link for Tcp {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.streams.len()
    }

    fn exchange(
        &self,
        call: &str,
        outgoing: &[(usize, &[u8])],
        incoming: &mut [(usize, &mut [u8])],
    ) -> Result<()> {
        self.fate.check()?;
        let small = outgoing.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= SMALL;
        let moved = match small {
            true => self.send(call, outgoing).and_then(|()| self.receive(call, incoming)),
            // Two ranks that both send first, and more than sockets hold, would wait for each other.
            false => std::thread::scope(|scope| {
                let sender = scope.spawn(|| self.send(call, outgoing).inspect_err(|e| self.seal(e)));
                let received = self.receive(call, incoming).inspect_err(|e| self.seal(e));
                let sent = sender.join().unwrap_or_else(|_| Err(Error::engine("tcp")("a sender panicked")));
                received.and(sent)
            }),
        };
        moved.inspect_err(|e| self.seal(e))
    }

    fn abort(&self, why: &str) {
        self.watch.abort(why);
    }

    fn lost(&self) -> Option<Error> {
        self.fate.sealed()
    }
}

impl Tcp {
    /// After an error streams are torn in the middle of a message: nothing can follow.
    fn seal(&self, error: &Error) {
        self.fate.seal(error.clone());
    }
}
