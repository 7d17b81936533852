//! Many processes as one: who am I, and how do ranks add up.
//!
//! A [`Collective`] is what the ranks of a run do together: sums, gathers, broadcasts. [`One`] is a process
//! alone. A [`Mesh`] is any number of ranks over a [`Link`] that moves bytes: threads of one process
//! ([`threads`]), plain TCP ([`tcp`]), MPI (feature `mpi`). NCCL (feature `nccl`) sums on GPUs and leaves
//! the rest to a mesh; with it a process can also send to GPUs that are no rank's (`Sender`). [`launch`] reads from the environment which rank this is, [`join()`] makes the ranks
//! meet.
//!
//! Sums are taken in the order of the ranks, so every rank gets the same bits, over every link (NCCL sums
//! in an order of its own, the same on all ranks). A rank that dies ends the others: what they wait for
//! returns [`Error::Lost`] with its number ([`watch`]).
//!
//! Knows no model and no training.

mod collective;
mod error;
pub mod fate;
mod join;
pub mod launch;
mod link;
mod meeting;
mod mesh;
#[cfg(feature = "nccl")]
mod nccl;
#[cfg(feature = "nccl")]
mod sender;
pub mod watch;

pub use collective::{Collective, One, even_parts};
pub use error::{Error, Result};
pub use join::{ENGINES, Settings, join};
pub use link::{Link, tcp, threads};
pub use meeting::Place;
pub use mesh::Mesh;
#[cfg(feature = "nccl")]
pub use sender::{GroupId, Sender, group_id};
