//! How far the reading of a source is: a bar on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foveate_datasets::prep::Progress;
use indicatif::ProgressBar;

use crate::progress::bar;

/// Plain lines come no closer than this.
const QUIET: Duration = Duration::from_secs(10);

const BAR: &str = "{prefix:>10.cyan.bold} [{bar:32}] {percent:>3} % {msg} {eta_precise} left";

/// Of the files' bytes; how many rows they hold is known only at their end.
const STEPS: u64 = 1000;

/// Watches one source.
pub struct Bar {
    bar: Option<ProgressBar>,
    what: &'static str,
    started: Instant,
    spoken: Mutex<Instant>,
}

impl Bar {
    /// Watches from now on.
    pub fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(BAR, what, STEPS));
        let now = Instant::now();
        Self { bar, what, started: now, spoken: Mutex::new(now) }
    }

    /// Shows how far it is.
    pub fn show(&self, progress: Progress) {
        let said = format!("{} rows, {}", progress.rows, self.speed(progress.rows));
        if let Some(bar) = &self.bar {
            bar.set_position((progress.share * STEPS as f64) as u64);
            bar.set_message(said);
            return;
        }
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.elapsed() > QUIET {
            *spoken = Instant::now();
            eprintln!("{}: {:.0} %, {said}", self.what, 100.0 * progress.share);
        }
    }

    /// A line of output while the bar is up.
    pub fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// The last line.
    pub fn finish(&self, rows: u64) {
        self.clear();
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!("{}: {rows} rows in {seconds:.1} s, {}", self.what, self.speed(rows));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn speed(&self, rows: u64) -> String {
        format!("{:.0} rows/s", rows as f64 / self.started.elapsed().as_secs_f64().max(1e-3))
    }
}
