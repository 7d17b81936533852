//! The laws of ranks over MPI: this program starts itself under mpirun.
#![cfg(feature = "mpi")]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

mod support;

use foveate_ranks::{Error, Settings, join, launch};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Says to a child what to do.
const TASK: &str = "FOVEATE_TEST_TASK";

fn mpirun(size: usize, task: &str) -> Output {
    let mut command = Command::new("mpirun");
    // Containers run as root, and have fewer cores than ranks; neither is a concern here.
    command.args(["--allow-run-as-root", "--oversubscribe", "-np", &size.to_string()]);
    let me = std::env::current_exe().unwrap();
    command.arg(me).args(["--exact", "a_rank", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(TASK, task).output().unwrap_or_else(|e| panic!("mpirun: {e}"))
}

#[test]
#[ignore = "a rank of the other tests, which start it under mpirun"]
fn a_rank() {
    let Ok(task) = std::env::var(TASK) else { return };
    let seconds = Duration::from_secs;
    let settings = Settings { engine: "auto".into(), deadline: seconds(20), join: seconds(20) };
    let ranks = join(launch::from_env().unwrap().as_ref(), &settings).unwrap();
    if task == "laws" {
        return support::hold(ranks.as_ref());
    }
    ranks.barrier().unwrap();
    if ranks.rank() == 1 {
        // As if by kill -9: nothing of the program runs after it.
        std::process::abort();
    }
    let clock = Instant::now();
    let error = ranks.barrier().unwrap_err();
    println!("SAID {error} AFTER {} s", clock.elapsed().as_secs());
    assert!(matches!(error, Error::Lost { rank: 1, .. }), "{error}");
}

#[test]
fn the_laws_hold_over_mpi() {
    for size in [2, 3] {
        let output = mpirun(size, "laws");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{size}: {said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(said.matches("1 passed").count(), size, "{said}");
    }
}

#[test]
fn a_rank_that_dies_is_named() {
    let output = mpirun(2, "death");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("SAID rank 1 was lost: its process ended"), "{said}");
}
