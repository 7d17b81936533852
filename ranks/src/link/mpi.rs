//! Ranks over the MPI library of the machine.
//!
//! A thread of its own speaks to MPI, since MPI wants one, and since a message that is on its way cannot be
//! taken back: when a rank is lost, that thread stays behind with what it waits for, and the run ends
//! without it. Messages are MPI's, sums are [`crate::Mesh`]'s, so that they are the same bits as over other
//! links.

use super::{Link, late};
use crate::fate::Fate;
use crate::meeting::{Kind, Place};
use crate::watch::Watch;
use crate::{Collective, Error, Mesh, Result, Settings};
use mpi::Threading;
use mpi::environment;
use mpi::request::{RequestCollection, multiple_scope};
use mpi::traits::*;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// MPI counts in 32 bits: longer messages go in pieces.
const PIECE: usize = 1 << 29;
/// Polls before sleeping in between, and the sleep.
const EAGER: u32 = 2000;
const NAP: Duration = Duration::from_micros(100);

/// Messages to send, and whom to receive how many bytes from.
struct Job {
    call: String,
    outgoing: Vec<(usize, Vec<u8>)>,
    incoming: Vec<(usize, usize)>,
    reply: Sender<Result<Vec<Vec<u8>>>>,
}

/// One rank and the thread that speaks for it.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    size: usize,
    fate: Fate,
    watch: OnceLock<Watch>,
    jobs: Option<Sender<Job>>,
    speaker: Option<JoinHandle<()>>,
}

impl Mpi {
    /// The ranks that mpirun started.
    ///
    /// # Errors
    /// A library that does not start, or ranks that cannot watch each other.
    pub fn meet(settings: &Settings) -> Result<Mesh<Self>> {
        let fate = Fate::default();
        let (jobs, todo) = channel();
        let (ready, said) = channel();
        let speaker = Speaker { fate: fate.clone(), deadline: settings.deadline };
        let speaker = std::thread::spawn(move || speaker.run(&todo, &ready));
        let started = said.recv().map_err(|_| "the library did not start");
        let Started { rank, size, host } = started.map_err(Error::engine("mpi"))?;
        let (watch, jobs, speaker) = (OnceLock::new(), Some(jobs), Some(speaker));
        let mesh = Mesh::new(Self { rank, size, fate: fate.clone(), watch, jobs, speaker });
        let watch = watch_over(&mesh, &host, fate, settings)?;
        mesh.link().watch.get_or_init(|| watch);
        Ok(mesh)
    }
}

/// Ranks of MPI watch each other over TCP, at a port that rank 0 finds.
fn watch_over(mesh: &Mesh<Mpi>, host: &str, fate: Fate, settings: &Settings) -> Result<Watch> {
    let hosts = mesh.all_gather_bytes(host.as_bytes())?;
    let local = hosts.iter().all(|other| *other == hosts[0]);
    let host = if local { "127.0.0.1".to_string() } else { String::from_utf8_lossy(&hosts[0]).into_owned() };
    let mut port = vec![];
    let listener = match mesh.rank() {
        0 => {
            let ip = if local { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
            let listener = TcpListener::bind((ip, 0)).map_err(Error::engine("mpi"))?;
            port = listener.local_addr().map_err(Error::engine("mpi"))?.port().to_le_bytes().to_vec();
            Some(listener)
        }
        _ => None,
    };
    let port = mesh.broadcast(port, 0)?;
    let port = port.iter().rev().fold(0, |port, &byte| port << 8 | u16::from(byte));
    let place = listener.map_or(Place::Guest(host, port), Place::Host);
    let mut met = place.meet((mesh.rank(), mesh.size()), &[Kind::Watch], settings.join)?;
    Watch::over(mesh.rank(), met.take(Kind::Watch), fate)
}

impl Link for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn exchange(
        &self,
        call: &str,
        outgoing: &[(usize, &[u8])],
        incoming: &mut [(usize, &mut [u8])],
    ) -> Result<()> {
        self.fate.check()?;
        let (reply, answer) = channel();
        let job = Job {
            call: call.into(),
            outgoing: outgoing.iter().map(|(to, bytes)| (*to, bytes.to_vec())).collect(),
            incoming: incoming.iter().map(|(from, bytes)| (*from, bytes.len())).collect(),
            reply,
        };
        let ended = || Error::engine("mpi")("its thread ended");
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).map_err(|_| ended())?;
        let received = answer.recv().map_err(|_| ended())?.inspect_err(|e| self.fate.seal(e.clone()))?;
        for ((_, bytes), found) in incoming.iter_mut().zip(received) {
            bytes.copy_from_slice(&found);
        }
        Ok(())
    }

    fn abort(&self, why: &str) {
        self.watch.get().into_iter().for_each(|watch| watch.abort(why));
    }

    fn lost(&self) -> Option<Error> {
        self.fate.sealed()
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        self.jobs = None;
        // MPI's end waits for all ranks: after a loss there is nobody to wait for.
        if let (None, Some(speaker)) = (self.fate.sealed(), self.speaker.take()) {
            let _ = speaker.join();
        }
    }
}

/// What MPI says of this process.
struct Started {
    rank: usize,
    size: usize,
    host: String,
}

/// Speaks to MPI.
struct Speaker {
    fate: Fate,
    deadline: Duration,
}

impl Speaker {
    /// Starts MPI, does one job after another, ends MPI when there are no more.
    fn run(&self, todo: &Receiver<Job>, ready: &Sender<Started>) {
        let Some((universe, _)) = environment::initialize_with_threading(Threading::Funneled) else { return };
        let world = universe.world();
        let host = environment::processor_name().unwrap_or_default();
        let started = Started { rank: world.rank() as usize, size: world.size() as usize, host };
        if ready.send(started).is_err() {
            return;
        }
        for Job { call, outgoing, incoming, reply } in todo {
            let mut received: Vec<Vec<u8>> = incoming.iter().map(|(_, len)| vec![0; *len]).collect();
            multiple_scope(outgoing.len() + incoming.len(), |scope, requests| {
                for (bytes, (from, _)) in received.iter_mut().zip(&incoming) {
                    for piece in bytes.chunks_mut(PIECE) {
                        let process = world.process_at_rank(*from as i32);
                        requests.add(process.immediate_receive_into(scope, piece));
                    }
                }
                for (to, bytes) in &outgoing {
                    for piece in bytes.chunks(PIECE) {
                        requests.add(world.process_at_rank(*to as i32).immediate_send(scope, piece));
                    }
                }
                if let Err(e) = self.wait(&call, &incoming, requests) {
                    // The buffers are MPI's for good: this thread keeps them.
                    let _ = reply.send(Err(e));
                    loop {
                        std::thread::park();
                    }
                }
            });
            if reply.send(Ok(received)).is_err() {
                return;
            }
        }
    }

    /// Until all is moved, a rank is lost, or the deadline has passed.
    fn wait(
        &self,
        call: &str,
        incoming: &[(usize, usize)],
        requests: &mut RequestCollection<'_, [u8]>,
    ) -> Result<()> {
        let (clock, mut polls, mut done) = (Instant::now(), 0u32, vec![]);
        while requests.incomplete() > 0 && !requests.test_all(&mut done) {
            polls = polls.saturating_add(1);
            if polls < EAGER {
                std::thread::yield_now();
                continue;
            }
            std::thread::sleep(NAP);
            self.fate.check()?;
            if clock.elapsed() > self.deadline {
                let rank = incoming.first().map_or(0, |(from, _)| *from);
                return Err(late(rank, call, self.deadline));
            }
        }
        Ok(())
    }
}
