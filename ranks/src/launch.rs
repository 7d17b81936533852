//! Which rank is this? Launchers say it in the environment, each in its own words.
//!
//! torchrun's words come first: it may itself have been started by Slurm or mpirun, once a machine. Of
//! Slurm's only those of a step are read: a batch script has `SLURM_PROCID` as well, and is alone.

use crate::{Error, Result};

/// Where ranks meet if nobody says.
const PORT: u16 = 29_500;

/// Who starts ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// torchrun, or a person who sets `RANK` and `WORLD_SIZE`.
    Torchrun,
    /// mpirun of Open MPI, MPICH or a kin of it.
    Mpirun,
    /// srun.
    Slurm,
}

/// This process among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Who started it.
    pub by: Launcher,
    /// This rank, from 0.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// This rank among those of its machine: the GPU it takes.
    pub local_rank: usize,
    /// The host and port where they meet, if it is known.
    pub address: Option<(String, u16)>,
}

/// The names of rank, size, rank on the machine and ranks on the machine.
struct Words {
    by: Launcher,
    rank: &'static str,
    size: &'static str,
    local_rank: &'static str,
    local_size: &'static str,
}

const LAUNCHERS: [Words; 4] = [
    Words {
        by: Launcher::Torchrun,
        rank: "RANK",
        size: "WORLD_SIZE",
        local_rank: "LOCAL_RANK",
        local_size: "LOCAL_WORLD_SIZE",
    },
    Words {
        by: Launcher::Mpirun,
        rank: "OMPI_COMM_WORLD_RANK",
        size: "OMPI_COMM_WORLD_SIZE",
        local_rank: "OMPI_COMM_WORLD_LOCAL_RANK",
        local_size: "OMPI_COMM_WORLD_LOCAL_SIZE",
    },
    Words {
        by: Launcher::Mpirun,
        rank: "PMI_RANK",
        size: "PMI_SIZE",
        local_rank: "MPI_LOCALRANKID",
        local_size: "MPI_LOCALNRANKS",
    },
    Words {
        by: Launcher::Slurm,
        rank: "SLURM_PROCID",
        size: "SLURM_STEP_NUM_TASKS",
        local_rank: "SLURM_LOCALID",
        local_size: "SLURM_STEP_TASKS_PER_NODE",
    },
];

/// What the environment of this process says; `None` for a process alone.
///
/// # Errors
/// As [`detect`].
pub fn from_env() -> Result<Option<Launch>> {
    detect(|name| std::env::var(name).ok())
}

/// What an environment says.
///
/// # Errors
/// [`Error::Launch`] naming a variable that is no number, out of range, or missing beside its kin.
pub fn detect(env: impl Fn(&str) -> Option<String>) -> Result<Option<Launch>> {
    for words in &LAUNCHERS {
        // A batch script of Slurm has a rank and no step; a shell may have one of the two by accident.
        let Some(size) = number(&env, words.size)? else { continue };
        let rank = match number(&env, words.rank)? {
            Some(rank) => rank,
            None if words.by == Launcher::Torchrun => continue,
            None => return Err(fault(words.rank, &format!("set beside {}", words.size), "not set")),
        };
        if rank >= size {
            return Err(fault(words.rank, &format!("under {} = {size}", words.size), &rank.to_string()));
        }
        if size == 1 {
            continue;
        }
        let local_rank = number(&env, words.local_rank)?.unwrap_or(0);
        let address = address(&env, words, size)?;
        return Ok(Some(Launch { by: words.by, rank, size, local_rank, address }));
    }
    Ok(None)
}

/// `MASTER_ADDR` and `MASTER_PORT`, or what can be known without them.
fn address(
    env: &impl Fn(&str) -> Option<String>,
    words: &Words,
    size: usize,
) -> Result<Option<(String, u16)>> {
    let port = match number(env, "MASTER_PORT")? {
        None => PORT,
        Some(port) => match u16::try_from(port) {
            // torchrun itself listens at its port.
            Ok(port) if env("TORCHELASTIC_RUN_ID").is_some() => port.wrapping_add(1).max(1024),
            Ok(port) => port,
            Err(_) => return Err(fault("MASTER_PORT", "at most 65535", &port.to_string())),
        },
    };
    let local = env(words.local_size).is_some_and(|local| local.trim() == size.to_string());
    let nodes = env("SLURM_STEP_NODELIST").filter(|_| words.by == Launcher::Slurm);
    let host = env("MASTER_ADDR").or_else(|| nodes.map(|nodes| first_host(&nodes)));
    Ok(host.or_else(|| local.then(|| "127.0.0.1".into())).map(|host| (host, port)))
}

/// The first host of Slurm's short form: `gpu[03-05,9],login` begins with `gpu03`.
fn first_host(nodes: &str) -> String {
    let Some((prefix, rest)) = nodes.split_once('[').filter(|(prefix, _)| !prefix.contains(',')) else {
        return nodes.split(',').next().unwrap_or_default().to_string();
    };
    let (inside, after) = rest.split_once(']').unwrap_or((rest, ""));
    let first = inside.split([',', '-']).next().unwrap_or_default();
    let suffix = after.split(',').next().unwrap_or_default();
    format!("{prefix}{first}{suffix}")
}

fn number(env: &impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<usize>> {
    let Some(text) = env(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| fault(name, "a whole number", &format!("`{text}`")))
}

fn fault(name: &str, expected: &str, found: &str) -> Error {
    Error::Launch { name: name.into(), expected: expected.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(env: &[(&str, &str)]) -> Result<Option<Launch>> {
        let env: std::collections::HashMap<String, String> =
            env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        detect(|name| env.get(name).cloned())
    }

    fn launch(by: Launcher, rank: usize, size: usize, local: usize, at: Option<(&str, u16)>) -> Launch {
        Launch { by, rank, size, local_rank: local, address: at.map(|(host, port)| (host.into(), port)) }
    }

    // The variables are those that torchrun of PyTorch 2.15, mpirun of Open MPI 4.1.4, mpiexec of MPICH 4.0
    // and srun of Slurm 23.11 document and set.
    #[test]
    fn every_launcher_is_understood() {
        let torchrun = [
            ("RANK", "3"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("MASTER_ADDR", "node7"),
            ("MASTER_PORT", "29400"),
        ];
        let expected = launch(Launcher::Torchrun, 3, 4, 1, Some(("node7", 29400)));
        assert_eq!(of(&torchrun).unwrap(), Some(expected.clone()));
        let elastic = [&torchrun[..], &[("TORCHELASTIC_RUN_ID", "none"), ("SLURM_PROCID", "1")]].concat();
        let beside = Some(("node7".to_string(), 29401));
        assert_eq!(of(&elastic).unwrap(), Some(Launch { address: beside, ..expected }));
        let mpirun = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ];
        let here = Some(("127.0.0.1", PORT));
        assert_eq!(of(&mpirun).unwrap(), Some(launch(Launcher::Mpirun, 1, 2, 1, here)));
        let spread = [&mpirun[..3], &[("OMPI_COMM_WORLD_LOCAL_SIZE", "1")]].concat();
        assert_eq!(of(&spread).unwrap(), Some(launch(Launcher::Mpirun, 1, 2, 1, None)));
        let mpich = [("PMI_RANK", "0"), ("PMI_SIZE", "8"), ("MASTER_ADDR", "10.0.0.1")];
        assert_eq!(of(&mpich).unwrap(), Some(launch(Launcher::Mpirun, 0, 8, 0, Some(("10.0.0.1", PORT)))));
        let slurm = [
            ("SLURM_PROCID", "5"),
            ("SLURM_STEP_NUM_TASKS", "6"),
            ("SLURM_LOCALID", "2"),
            ("SLURM_STEP_NODELIST", "gpu[03-05,9],login"),
        ];
        assert_eq!(of(&slurm).unwrap(), Some(launch(Launcher::Slurm, 5, 6, 2, Some(("gpu03", PORT)))));
    }

    #[test]
    fn a_process_alone_is_alone() {
        assert_eq!(of(&[]).unwrap(), None);
        // The batch script of a job of four tasks, and a step of one.
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")]).unwrap(), None);
        assert_eq!(of(&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]).unwrap(), None);
        assert_eq!(of(&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1")]).unwrap(), None);
    }

    #[test]
    fn a_broken_environment_is_named() {
        for (env, name) in [
            (&[("RANK", "x"), ("WORLD_SIZE", "2")][..], "`RANK` should be a whole number, but is `x`"),
            (&[("RANK", "2"), ("WORLD_SIZE", "2")], "`RANK` should be under WORLD_SIZE = 2, but is 2"),
            (&[("PMI_SIZE", "2")], "`PMI_RANK` should be set beside PMI_SIZE, but is not set"),
            (&[("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_PORT", "70000")], "`MASTER_PORT`"),
        ] {
            let error = of(env).unwrap_err();
            assert!(error.is_input() && error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn the_first_host_of_a_list() {
        for (list, first) in
            [("a", "a"), ("a,b", "a"), ("n[7]", "n7"), ("n[007-9,12]-ib,m", "n007-ib"), ("a,n[1-2]", "a")]
        {
            assert_eq!(first_host(list), first);
        }
    }
}
