//! Sums over NVIDIA GPUs: buffers go to this rank's GPU, NCCL adds them up, and they come back. All else
//! goes over a mesh, whose watch also ends a wait for a rank that is gone.
//!
//! NCCL adds in an order of its own: the sum is the same on every rank, but not the bits of other engines.
//! A thread of its own speaks to NCCL, as to MPI, since a kernel that waits cannot be called back.

use crate::link::tcp::Tcp;
use crate::{Collective, Error, Mesh, Result};
use cudarc::driver::{CudaContext, CudaStream};
use cudarc::nccl::safe::{Comm, Id, ReduceOp, group_end, group_start};
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks whether a kernel is done.
const NAP: Duration = Duration::from_micros(50);

/// What is done to a buffer.
#[derive(Debug, Clone, Copy)]
enum Work {
    ReduceScatter,
    AllGather,
}

struct Job {
    work: Work,
    values: Vec<f32>,
    parts: Vec<Range<usize>>,
    reply: Sender<Result<Vec<f32>>>,
}

/// One rank with a GPU.
#[derive(Debug)]
pub struct Nccl {
    mesh: Arc<Mesh<Tcp>>,
    jobs: Mutex<Option<Sender<Job>>>,
    speaker: Option<JoinHandle<()>>,
}

impl Nccl {
    /// The ranks of `mesh`, this one with GPU `ordinal` of its machine.
    ///
    /// # Errors
    /// No such GPU, or no NCCL on this machine.
    pub fn meet(ordinal: usize, mesh: Mesh<Tcp>, deadline: Duration) -> Result<Self> {
        let mesh = Arc::new(mesh);
        let (jobs, todo) = channel();
        let (ready, said) = channel();
        let speaker = Speaker { mesh: mesh.clone(), ordinal, deadline };
        let speaker = std::thread::spawn(move || speaker.run(&todo, &ready));
        let ended = |_| Error::engine("nccl")("the CUDA driver or NCCL is not on this machine");
        let started = said.recv().map_err(ended).and_then(|started| started);
        started.inspect_err(|e| mesh.abort(&e.to_string()))?;
        Ok(Self { mesh, jobs: Mutex::new(Some(jobs)), speaker: Some(speaker) })
    }

    fn ask(&self, work: Work, values: &mut [f32], parts: &[Range<usize>]) -> Result<()> {
        let ended = || Error::engine("nccl")("its thread ended");
        let (reply, answer) = channel();
        let job = Job { work, values: values.to_vec(), parts: parts.to_vec(), reply };
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.as_ref().ok_or_else(ended)?.send(job).map_err(|_| ended())?;
        values.copy_from_slice(&answer.recv().map_err(|_| ended())??);
        Ok(())
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (None, Some(speaker)) = (self.mesh.lost(), self.speaker.take()) {
            let _ = speaker.join();
        }
    }
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.mesh.rank()
    }

    fn size(&self) -> usize {
        self.mesh.size()
    }

    fn reduce_scatter(&self, values: &mut [f32], parts: &[Range<usize>]) -> Result<()> {
        self.ask(Work::ReduceScatter, values, parts)
    }

    fn all_gather(&self, values: &mut [f32], parts: &[Range<usize>]) -> Result<()> {
        self.ask(Work::AllGather, values, parts)
    }

    fn gather(&self, values: &mut [f32], parts: &[Range<usize>], root: usize) -> Result<()> {
        self.mesh.gather(values, parts, root)
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<()> {
        self.mesh.all_reduce_f64(values)
    }

    fn all_gather_bytes(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.mesh.all_gather_bytes(mine)
    }

    fn broadcast(&self, bytes: Vec<u8>, root: usize) -> Result<Vec<u8>> {
        self.mesh.broadcast(bytes, root)
    }

    fn abort(&self, why: &str) {
        self.mesh.abort(why);
    }

    fn lost(&self) -> Option<Error> {
        self.mesh.lost()
    }
}

/// Speaks to NCCL.
struct Speaker {
    mesh: Arc<Mesh<Tcp>>,
    ordinal: usize,
    deadline: Duration,
}

impl Speaker {
    fn run(&self, todo: &Receiver<Job>, ready: &Sender<Result<()>>) {
        let (stream, comm) = match self.start() {
            Ok(started) => started,
            Err(e) => {
                // Whoever asked may be gone.
                let _ = ready.send(Err(e));
                return;
            }
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        for Job { work, values, parts, reply } in todo {
            let done = self.work((&stream, &comm), work, values, &parts);
            let lost = done.is_err();
            let _ = reply.send(done);
            if lost {
                // Its kernel may wait for good: what it reads stays.
                std::mem::forget(comm);
                return;
            }
        }
    }

    /// This rank's GPU, and NCCL's number for the ranks from rank 0.
    fn start(&self) -> Result<(Arc<CudaStream>, Comm)> {
        // cudarc panics where there is no driver.
        let context = catch_unwind(|| CudaContext::new(self.ordinal));
        let context = context.map_err(|_| Error::engine("nccl")("there is no CUDA driver"))?;
        let context = context.map_err(|e| Error::engine("nccl")(format!("GPU {}: {e:?}", self.ordinal)))?;
        let stream = context.new_stream().map_err(|e| Error::engine("nccl")(format!("{e:?}")))?;
        let mut id = vec![];
        if self.mesh.rank() == 0 {
            let made = catch_unwind(Id::new).map_err(|_| Error::engine("nccl")("there is no libnccl"))?;
            let made = made.map_err(|e| Error::engine("nccl")(format!("{:?}", e.0)))?;
            id = made.internal().iter().map(|&c| c as u8).collect();
        }
        let id = self.mesh.broadcast(id, 0)?;
        let mut internal = [0; 128];
        internal.iter_mut().zip(id).for_each(|(to, byte)| *to = byte as std::ffi::c_char);
        let comm = Comm::from_rank(stream.clone(), self.mesh.rank(), self.mesh.size(), Id::uninit(internal));
        Ok((stream, comm.map_err(|e| Error::engine("nccl")(format!("{:?}", e.0)))?))
    }

    /// Parts may be uneven, which NCCL's own calls of these names do not know: each part is a reduction to
    /// its rank, or a broadcast from it, and all of them are one group.
    fn work(
        &self,
        (stream, comm): (&Arc<CudaStream>, &Comm),
        work: Work,
        values: Vec<f32>,
        parts: &[Range<usize>],
    ) -> Result<Vec<f32>> {
        let driver = |e| Error::engine("nccl")(format!("{e:?}"));
        let fault = |e: cudarc::nccl::result::NcclError| Error::engine("nccl")(format!("{:?}", e.0));
        let mut buffer = stream.clone_htod(&values).map_err(driver)?;
        group_start().map_err(fault)?;
        for (rank, part) in parts.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            let Some(mut view) = buffer.try_slice_mut(part.clone()) else { continue };
            let said = match work {
                Work::ReduceScatter => comm.reduce_in_place(&mut view, &ReduceOp::Sum, rank as i32),
                Work::AllGather => comm.broadcast_in_place(&mut view, rank as i32),
            };
            said.map_err(fault)?;
        }
        group_end().map_err(fault)?;
        let done = stream.record_event(None).map_err(driver)?;
        let clock = Instant::now();
        while !done.try_is_complete().map_err(driver)? {
            std::thread::sleep(NAP);
            let lost = self.mesh.lost().or_else(|| self.late(clock));
            if let Some(error) = lost {
                std::mem::forget(buffer);
                return Err(error);
            }
        }
        stream.clone_dtoh(&buffer).map_err(driver)
    }

    /// NCCL does not say for whom it waits.
    fn late(&self, clock: Instant) -> Option<Error> {
        let late = clock.elapsed() > self.deadline;
        let rank = (self.mesh.rank() + 1) % self.mesh.size();
        let seconds = self.deadline.as_secs();
        late.then(|| Error::Deadline { rank, call: "NCCL (this or another rank)".into(), seconds })
    }
}
