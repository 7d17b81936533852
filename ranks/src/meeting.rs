//! How connections between ranks come to be: all meet at rank 0, which tells each where the others listen.
//!
//! A connection begins with a greeting: a word of this program, what it is for, which rank of how many, and
//! where that rank listens. What greets otherwise is not a rank and is let go.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const WORD: [u8; 8] = *b"foveate1";
const GREETING: usize = WORD.len() + 1 + 4 + 4 + 2;
/// Between two looks whether someone has come.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one that has come may take to say who it is.
const POLITE: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Signs of life; between rank 0 and each other one.
    Watch = 1,
    /// Buffers; between every two ranks.
    Data = 2,
}

/// Where ranks meet.
#[derive(Debug)]
pub enum Place {
    /// Rank 0 listens.
    Host(TcpListener),
    /// The others come.
    Guest(String, u16),
}

/// Connections by kind and by the rank at the other end.
#[derive(Debug)]
pub struct Met(BTreeMap<(Kind, usize), TcpStream>);

impl Met {
    /// The connections of one kind.
    pub fn take(&mut self, kind: Kind) -> Vec<(usize, TcpStream)> {
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(|((of, _), _)| *of == kind);
        self.0 = rest;
        let taken: BTreeMap<(Kind, usize), TcpStream> = taken;
        taken.into_iter().map(|((_, rank), stream)| (rank, stream)).collect()
    }
}

/// A rank that has come.
struct Guest {
    kind: Kind,
    rank: usize,
    /// Where it listens.
    port: u16,
    stream: TcpStream,
}

/// Who meets, and until when.
struct Meeting {
    rank: usize,
    size: usize,
    address: String,
    began: Instant,
    patience: Duration,
}

impl Place {
    /// Rank 0 listens at `host`, if that is an address of its machine, else at all of them.
    ///
    /// # Errors
    /// A port that is taken.
    pub fn of(rank: usize, host: &str, port: u16) -> Result<Self> {
        if rank > 0 {
            return Ok(Self::Guest(host.into(), port));
        }
        let listener = TcpListener::bind((host, port)).or_else(|e| match e.kind() {
            ErrorKind::AddrInUse => Err(e),
            _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
        });
        let fault = |e| Error::engine("tcp")(format!("rank 0 cannot listen at {host}:{port}: {e}"));
        Ok(Self::Host(listener.map_err(fault)?))
    }

    /// Makes rank `rank` of `size` meet the others: watched from rank 0, and with data between every two
    /// if that is among `kinds`.
    ///
    /// # Errors
    /// [`Error::Join`] naming who did not come; ranks that do not fit together.
    pub(crate) fn meet(
        self,
        (rank, size): (usize, usize),
        kinds: &[Kind],
        patience: Duration,
    ) -> Result<Met> {
        let address = match &self {
            Self::Host(listener) => listener.local_addr().map_or("?".into(), |a| a.to_string()),
            Self::Guest(host, port) => format!("{host}:{port}"),
        };
        let meeting = Meeting { rank, size, address, began: Instant::now(), patience };
        match self {
            Self::Host(listener) => meeting.host(&listener, kinds),
            Self::Guest(host, port) => meeting.guest((&host, port), kinds),
        }
    }
}

impl Meeting {
    fn left(&self) -> Duration {
        self.patience.saturating_sub(self.began.elapsed())
    }

    fn missing(&self, missing: Vec<usize>) -> Error {
        let (size, address, seconds) = (self.size, self.address.clone(), self.patience.as_secs());
        Error::Join { missing, size, address, seconds }
    }

    fn host(&self, listener: &TcpListener, kinds: &[Kind]) -> Result<Met> {
        let expected = kinds.iter().flat_map(|&kind| (1..self.size).map(move |rank| (kind, rank)));
        let guests = self.receive(listener, expected.collect())?;
        let mut table = Vec::new();
        for guest in guests.values().filter(|guest| guest.kind == kinds[kinds.len() - 1]) {
            let ip = guest.stream.peer_addr().map_err(Error::engine("tcp"))?.ip();
            // A rank of this machine: the others reach it where they reach this one.
            let ip = if ip.is_loopback() { String::new() } else { ip.to_string() };
            table.push(format!("{ip} {}", guest.port));
        }
        let table = table.join("\n");
        for guest in guests.values() {
            let len = (table.len() as u32).to_le_bytes();
            let told = (&guest.stream).write_all(&[&len[..], table.as_bytes()].concat());
            told.map_err(|e| Error::Lost { rank: guest.rank, why: e.to_string() })?;
        }
        Ok(Met(guests.into_iter().map(|(key, guest)| (key, guest.stream)).collect()))
    }

    fn guest(&self, host: (&str, u16), kinds: &[Kind]) -> Result<Met> {
        let mut met = BTreeMap::new();
        let mut listener: Option<TcpListener> = None;
        let mut to_host = Vec::new();
        for &kind in kinds {
            let stream = self.connect(host)?;
            let at = stream.local_addr().map_err(Error::engine("tcp"))?;
            let own = match listener.take() {
                Some(own) => own,
                None => TcpListener::bind((at.ip(), 0)).map_err(Error::engine("tcp"))?,
            };
            let port = own.local_addr().map_err(Error::engine("tcp"))?.port();
            self.greet(&stream, kind, port).map_err(|_| self.missing(vec![0]))?;
            to_host.push((kind, stream));
            listener = Some(own);
        }
        let mut table = String::new();
        for (kind, mut stream) in to_host {
            table = self.table(&mut stream)?;
            met.insert((kind, 0), stream);
        }
        if let (true, Some(listener)) = (kinds.contains(&Kind::Data), listener) {
            self.among_guests(&table, host, &listener, &mut met)?;
        }
        Ok(Met(met))
    }

    /// Connects to the ranks before this one and receives those behind it.
    fn among_guests(
        &self,
        table: &str,
        host: (&str, u16),
        listener: &TcpListener,
        met: &mut BTreeMap<(Kind, usize), TcpStream>,
    ) -> Result<()> {
        for (peer, line) in (1..self.rank).zip(table.lines()) {
            let (ip, port) = line.split_once(' ').unwrap_or_default();
            let ip = if ip.is_empty() { host.0 } else { ip };
            let stream = self.connect((ip, port.parse().unwrap_or_default()))?;
            self.greet(&stream, Kind::Data, 0).map_err(|_| self.missing(vec![peer]))?;
            met.insert((Kind::Data, peer), stream);
        }
        let behind = (self.rank + 1..self.size).map(|peer| (Kind::Data, peer)).collect();
        let received = self.receive(listener, behind)?;
        met.extend(received.into_iter().map(|(key, guest)| (key, guest.stream)));
        Ok(())
    }

    /// Waits until all of `expected` have come.
    fn receive(
        &self,
        listener: &TcpListener,
        expected: Vec<(Kind, usize)>,
    ) -> Result<BTreeMap<(Kind, usize), Guest>> {
        listener.set_nonblocking(true).map_err(Error::engine("tcp"))?;
        let mut guests: BTreeMap<(Kind, usize), Guest> = BTreeMap::new();
        while guests.len() < expected.len() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let Some(guest) = self.hear(stream)? else { continue };
                    let key = (guest.kind, guest.rank);
                    if !expected.contains(&key) || guests.contains_key(&key) {
                        let found = format!("{} twice", guest.rank);
                        return Err(self.odd(guest.rank, "its rank", "one that is awaited", found));
                    }
                    guests.insert(key, guest);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if self.left().is_zero() {
                        let mut missing: Vec<usize> = expected.iter().map(|(_, rank)| *rank).collect();
                        missing.retain(|rank| !guests.keys().any(|(_, come)| come == rank));
                        missing.sort_unstable();
                        missing.dedup();
                        return Err(self.missing(missing));
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(e) => return Err(Error::engine("tcp")(e)),
            }
        }
        Ok(guests)
    }

    /// Who has come; `None` for something that is no rank.
    fn hear(&self, mut stream: TcpStream) -> Result<Option<Guest>> {
        let mut said = [0; GREETING];
        let heard = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(POLITE)))
            .and_then(|()| stream.read_exact(&mut said));
        if heard.is_err() || said[..8] != WORD {
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes([said[at], said[at + 1], said[at + 2], said[at + 3]]);
        let (rank, size) = (word(9) as usize, word(13) as usize);
        if size != self.size {
            return Err(self.odd(rank, "the number of ranks", self.size, size));
        }
        let kind = if said[8] == Kind::Watch as u8 { Kind::Watch } else { Kind::Data };
        Ok(Some(Guest { kind, rank, port: u16::from_le_bytes([said[17], said[18]]), stream }))
    }

    fn greet(&self, mut stream: &TcpStream, kind: Kind, port: u16) -> std::io::Result<()> {
        let (rank, size) = ((self.rank as u32).to_le_bytes(), (self.size as u32).to_le_bytes());
        stream.write_all(&[&WORD[..], &[kind as u8], &rank, &size, &port.to_le_bytes()].concat())
    }

    /// Where the other guests listen, a line each from rank 1 on.
    fn table(&self, stream: &mut TcpStream) -> Result<String> {
        let wait = self.left().max(PAUSE);
        let mut read = || {
            stream.set_read_timeout(Some(wait))?;
            let mut len = [0; 4];
            stream.read_exact(&mut len)?;
            let mut table = vec![0; u32::from_le_bytes(len) as usize];
            stream.read_exact(&mut table)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&table).into_owned())
        };
        read().map_err(|e| match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.missing(vec![0]),
            _ => Error::Lost { rank: 0, why: "it let this rank go; see what it says".into() },
        })
    }

    /// Connects, as soon as someone listens there.
    fn connect(&self, (host, port): (&str, u16)) -> Result<TcpStream> {
        loop {
            let tried = (host, port).to_socket_addrs().and_then(|all| {
                let mut all: Vec<SocketAddr> = all.collect();
                all.sort_by_key(|address| matches!(address.ip(), IpAddr::V6(_)));
                let none = || std::io::Error::new(ErrorKind::NotFound, "no address");
                TcpStream::connect_timeout(all.first().ok_or_else(none)?, POLITE)
            });
            match tried {
                Ok(stream) => return Ok(stream),
                Err(_) if self.left().is_zero() => return Err(self.missing(vec![0])),
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn odd(&self, rank: usize, what: &str, expected: impl ToString, found: impl ToString) -> Error {
        let (expected, found) = (expected.to_string(), found.to_string());
        Error::Mismatch { rank, what: what.into(), expected, found }
    }
}
