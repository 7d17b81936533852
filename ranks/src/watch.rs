//! Whether the other ranks are alive.
//!
//! Every rank keeps one connection to rank 0 on which each says now and then that it lives. A connection
//! that ends, or is silent for long, is a rank that is lost; rank 0 tells the others which one. A rank that
//! ends with an error says so first, so that all name the rank that failed and why. This is beside the
//! links that carry data, since MPI and NCCL wait forever for a rank that is gone.

use crate::fate::Fate;
use crate::{Error, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Time between two signs of life, and how long none is no concern.
const BEAT: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(30);

/// A longer reason is cut off.
const LONGEST: usize = 1 << 14;

const ALIVE: u8 = 0;
const LOST: u8 = 1;
const FAILED: u8 = 2;
const BYE: u8 = 3;

/// Watches the others until it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
}

#[derive(Debug)]
struct Shared {
    rank: usize,
    fate: Fate,
    /// The ranks this one is connected to: rank 0 to all, the others to rank 0.
    peers: Vec<(usize, Mutex<TcpStream>)>,
    leaving: AtomicBool,
}

impl Watch {
    /// Watches the ranks at the other ends of `peers`; what becomes of any rank is told to `fate`.
    ///
    /// # Errors
    /// Those of the sockets.
    pub fn over(rank: usize, peers: Vec<(usize, TcpStream)>, fate: Fate) -> Result<Self> {
        let fault = Error::engine("tcp");
        let readers: std::io::Result<Vec<_>> = peers
            .iter()
            .map(|(peer, stream)| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(BEAT))?;
                Ok((*peer, stream.try_clone()?))
            })
            .collect();
        let readers = readers.map_err(fault)?;
        let peers = peers.into_iter().map(|(peer, stream)| (peer, Mutex::new(stream))).collect();
        let shared = Arc::new(Shared { rank, fate, peers, leaving: AtomicBool::new(false) });
        for (peer, stream) in readers {
            let shared = shared.clone();
            thread::spawn(move || shared.listen(peer, stream));
        }
        let (stop, stopped) = channel();
        let beating = shared.clone();
        thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                beating.tell(None, &frame(ALIVE, 0, ""));
            }
        });
        Ok(Self { shared, stop: Some(stop) })
    }

    /// Tells the others that this rank ends with the error `why`.
    pub fn abort(&self, why: &str) {
        let Shared { rank, fate, .. } = &*self.shared;
        // What follows from another rank's end is no news.
        if !matches!(fate.sealed(), Some(Error::Lost { .. } | Error::Failed { .. })) {
            fate.seal(Error::Failed { rank: *rank, why: why.into() });
            self.shared.tell(None, &frame(FAILED, *rank, why));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.leaving.store(true, Ordering::SeqCst);
        self.stop = None;
        self.shared.tell(None, &frame(BYE, self.shared.rank, ""));
        for (_, stream) in &self.shared.peers {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            // Already gone is as good.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

impl Shared {
    /// Writes to all peers but `except`. A peer that cannot be written to is found by its reader.
    fn tell(&self, except: Option<usize>, frame: &[u8]) {
        for (_, stream) in self.peers.iter().filter(|(peer, _)| Some(*peer) != except) {
            let _ = stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(frame);
        }
    }

    /// Hears `peer` out.
    fn listen(&self, peer: usize, mut stream: TcpStream) {
        loop {
            let end = match read(&mut stream) {
                Ok((ALIVE, _, _)) => continue,
                Ok((BYE, _, _)) => return,
                Ok((FAILED, rank, why)) => Error::Failed { rank, why },
                Ok((_, rank, why)) => Error::Lost { rank, why },
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let why = format!("no sign of life for {} s", SILENCE.as_secs());
                    Error::Lost { rank: peer, why }
                }
                Err(_) => Error::Lost { rank: peer, why: "its process ended".into() },
            };
            if self.leaving.load(Ordering::SeqCst) {
                return;
            }
            let news = match &end {
                Error::Failed { rank, why } => frame(FAILED, *rank, why),
                Error::Lost { rank, why } => frame(LOST, *rank, why),
                _ => return,
            };
            self.fate.seal(end);
            self.tell(Some(peer), &news);
            return;
        }
    }
}

/// Kind, rank, length and text.
fn frame(kind: u8, rank: usize, text: &str) -> Vec<u8> {
    let cut = (0..=text.len().min(LONGEST)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    let text = &text.as_bytes()[..cut];
    [&[kind][..], &(rank as u32).to_le_bytes(), &(text.len() as u32).to_le_bytes(), text].concat()
}

fn read(stream: &mut TcpStream) -> std::io::Result<(u8, usize, String)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let mut text = vec![0; word(5).min(LONGEST)];
    stream.read_exact(&mut text)?;
    Ok((head[0], word(1), String::from_utf8_lossy(&text).into_owned()))
}
