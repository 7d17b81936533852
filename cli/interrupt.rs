//! Ctrl-C, SIGTERM and SIGUSR1 (which launchers pass on to their processes): the first asks the work to come to a good end, the second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::failure::{Failure, Outcome};

/// What a shell shows for a program that Ctrl-C ended.
const KILLED_BY_INTERRUPT: i32 = 130;

/// Listens from now on: the flag is set by the first signal. `promise` says what will still be done.
pub fn listen(promise: &'static str) -> Outcome<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1]).map_err(Failure::work)?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(KILLED_BY_INTERRUPT);
            }
            eprintln!("\nStopping: {promise}. Once more to stop at once.");
        }
    });
    Ok(asked)
}
