//! Numbers from a GPU of this process to the GPUs of another program, through NCCL: here is rank 0, which sends.
//!
//! Knows neither what the numbers are nor how the other side hears of the group. A thread of its own speaks to
//! NCCL, which cannot be called back: a caller that has waited for its deadline leaves it behind.

use crate::{Error, Result};
use cudarc::driver::{CudaContext, CudaStream};
use cudarc::nccl::safe::{Comm, Id, ReduceOp};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender as Queue, channel};
use std::time::Duration;

/// What a group of NCCL is known by: `ncclUniqueId`.
pub type GroupId = [u8; 128];

/// A new group.
///
/// # Errors
/// No NCCL on this machine.
pub fn group_id() -> Result<GroupId> {
    // cudarc panics where there is no library.
    let made = catch_unwind(Id::new).map_err(|_| Error::engine("nccl")("there is no libnccl"))?;
    let made = made.map_err(|e| Error::engine("nccl")(format!("{:?}", e.0)))?;
    Ok(made.internal().map(|c| c as u8))
}

/// Rank 0 of a group whose others receive.
#[derive(Debug)]
pub struct Sender {
    jobs: Queue<Vec<f32>>,
    done: Receiver<Result<()>>,
    deadline: Duration,
}

impl Sender {
    /// Meets the `size - 1` others of group `id` with this machine's GPU `ordinal`; no call waits longer than
    /// `deadline`.
    ///
    /// # Errors
    /// No such GPU, no NCCL, or others that do not come.
    pub fn meet(ordinal: usize, id: GroupId, size: usize, deadline: Duration) -> Result<Self> {
        let (jobs, todo) = channel();
        let (told, done) = channel();
        std::thread::spawn(move || match start(ordinal, id, size) {
            Ok((stream, comm)) => serve(&stream, &comm, &todo, &told),
            // Whoever asked may be gone.
            Err(e) => drop(told.send(Err(e))),
        });
        let sender = Self { jobs, done, deadline };
        sender.wait("the others of the group")?;
        Ok(sender)
    }

    /// Sends `values` as f32; returns when they have left this GPU.
    ///
    /// # Errors
    /// Others that do not come for them. After an error the group is of no more use.
    pub fn send(&self, values: &[f32]) -> Result<()> {
        self.jobs.send(values.to_vec()).map_err(|_| Error::engine("nccl")("its thread ended"))?;
        self.wait("a tensor to be taken")
    }

    fn wait(&self, what: &str) -> Result<()> {
        let seconds = self.deadline.as_secs_f64();
        let late = |_| Error::engine("nccl")(format!("waited for {what} for {seconds} s"));
        self.done.recv_timeout(self.deadline).map_err(late)?
    }
}

/// Joins the group, with the sum of one number that the others make when they join.
fn start(ordinal: usize, id: GroupId, size: usize) -> Result<(Arc<CudaStream>, Comm)> {
    let fault = |e: String| Error::engine("nccl")(e);
    let context =
        catch_unwind(|| CudaContext::new(ordinal)).map_err(|_| fault("there is no CUDA driver".into()))?;
    let context = context.map_err(|e| fault(format!("GPU {ordinal}: {e:?}")))?;
    let stream = context.new_stream().map_err(|e| fault(format!("{e:?}")))?;
    let id = Id::uninit(id.map(|byte| byte as std::ffi::c_char));
    let comm = Comm::from_rank(stream.clone(), 0, size, id).map_err(|e| fault(format!("{:?}", e.0)))?;
    let mut one = stream.clone_htod(&[0.0f32]).map_err(|e| fault(format!("{e:?}")))?;
    comm.all_reduce_in_place(&mut one, &ReduceOp::Sum).map_err(|e| fault(format!("{:?}", e.0)))?;
    stream.synchronize().map_err(|e| fault(format!("{e:?}")))?;
    Ok((stream, comm))
}

fn serve(stream: &Arc<CudaStream>, comm: &Comm, todo: &Receiver<Vec<f32>>, told: &Queue<Result<()>>) {
    let send = |values: &[f32]| -> Result<()> {
        let fault = |e: String| Error::engine("nccl")(e);
        let mut buffer = stream.clone_htod(values).map_err(|e| fault(format!("{e:?}")))?;
        comm.broadcast_in_place(&mut buffer, 0).map_err(|e| fault(format!("{:?}", e.0)))?;
        stream.synchronize().map_err(|e| fault(format!("{e:?}")))
    };
    let mut open = told.send(Ok(())).is_ok();
    while open {
        let Ok(values) = todo.recv() else { return };
        open = told.send(send(&values)).is_ok();
    }
}
