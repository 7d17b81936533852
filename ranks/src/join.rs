//! How ranks meet: which engine, and where.

use crate::launch::{Launch, Launcher};
use crate::link::tcp::Tcp;
use crate::meeting::{Kind, Place};
use crate::{Collective, Error, One, Result};
use std::sync::Arc;
use std::time::Duration;

/// What can stand in [`Settings::engine`].
pub const ENGINES: &[&str] = &["auto", "tcp", "mpi", "nccl"];

/// How ranks meet and wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A name of [`ENGINES`]; `auto` is MPI where mpirun started the ranks and this build has it, else TCP.
    pub engine: String,
    /// The longest that a rank waits for another in one call.
    pub deadline: Duration,
    /// The longest that ranks wait for all to come.
    pub join: Duration,
}

/// Makes the ranks of `launch` meet; a process alone is [`One`].
///
/// # Errors
/// [`Error::Join`] naming who did not come, or an engine that this build does not have.
pub fn join(launch: Option<&Launch>, settings: &Settings) -> Result<Arc<dyn Collective>> {
    let Some(launch) = launch else { return Ok(Arc::new(One)) };
    let by_mpi = cfg!(feature = "mpi") && launch.by == Launcher::Mpirun;
    match settings.engine.as_str() {
        "auto" if by_mpi => mpi(settings),
        "auto" | "tcp" => Ok(Arc::new(tcp(launch, settings)?)),
        "mpi" => mpi(settings),
        "nccl" => nccl(launch, settings),
        other => {
            let message = format!("should be one of {}", ENGINES.join(", "));
            Err(Error::Engine { engine: other.into(), message })
        }
    }
}

fn tcp(launch: &Launch, settings: &Settings) -> Result<crate::Mesh<Tcp>> {
    let Some((host, port)) = launch.address.clone() else {
        let expected = "the host of rank 0, as the ranks are on several machines";
        let (name, found) = ("MASTER_ADDR".into(), "not set".into());
        return Err(Error::Launch { name, expected: expected.into(), found });
    };
    let place = Place::of(launch.rank, &host, port)?;
    Tcp::meet((launch.rank, launch.size), place, settings)
}

impl Tcp {
    /// The ranks that meet at `place`: `(rank, size)` is this one.
    ///
    /// # Errors
    /// [`Error::Join`] naming who did not come.
    pub fn meet(
        (rank, size): (usize, usize),
        place: Place,
        settings: &Settings,
    ) -> Result<crate::Mesh<Self>> {
        let mut met = place.meet((rank, size), &[Kind::Watch, Kind::Data], settings.join)?;
        let fate = crate::fate::Fate::default();
        let watch = crate::watch::Watch::over(rank, met.take(Kind::Watch), fate.clone())?;
        let mut streams: Vec<_> = (0..size).map(|_| None).collect();
        for (peer, stream) in met.take(Kind::Data) {
            streams[peer] = Some(stream);
        }
        Self::over(rank, streams, (watch, fate), settings.deadline)
    }
}

#[cfg(feature = "mpi")]
fn mpi(settings: &Settings) -> Result<Arc<dyn Collective>> {
    Ok(Arc::new(crate::link::mpi::Mpi::meet(settings)?))
}

#[cfg(not(feature = "mpi"))]
fn mpi(_: &Settings) -> Result<Arc<dyn Collective>> {
    Err(without("mpi"))
}

#[cfg(feature = "nccl")]
fn nccl(launch: &Launch, settings: &Settings) -> Result<Arc<dyn Collective>> {
    Ok(Arc::new(crate::nccl::Nccl::meet(launch.local_rank, tcp(launch, settings)?, settings.deadline)?))
}

#[cfg(not(feature = "nccl"))]
fn nccl(_: &Launch, _: &Settings) -> Result<Arc<dyn Collective>> {
    Err(without("nccl"))
}

#[cfg(not(all(feature = "mpi", feature = "nccl")))]
fn without(engine: &str) -> Error {
    let message = format!("this build does not have it: build with --features {engine}");
    Error::Engine { engine: engine.into(), message }
}
