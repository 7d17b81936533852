//! How far files are on their way from the hub: a bar on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foveate_hub::Observer;
use indicatif::ProgressBar;

use super::Stop;
use crate::progress::bar;

/// Plain lines come no closer than this.
const QUIET: Duration = Duration::from_secs(10);

const BAR: &str =
    "{prefix:>10.cyan.bold} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} {eta_precise} left";

/// Watches the files of one repository.
pub struct Bar<'a> {
    repo: &'a str,
    stop: Stop<'a>,
    bar: Mutex<Option<ProgressBar>>,
    bytes: AtomicU64,
    total: AtomicU64,
    spoken: Mutex<Instant>,
}

impl<'a> Bar<'a> {
    /// Watches from now on.
    pub fn new(repo: &'a str, stop: Stop<'a>) -> Self {
        let (bar, spoken) = (Mutex::new(None), Mutex::new(Instant::now()));
        Self { repo, stop, bar, bytes: AtomicU64::new(0), total: AtomicU64::new(0), spoken }
    }

    fn show(&self, bytes: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.set_position(bytes);
            return;
        }
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if spoken.elapsed() > QUIET {
            *spoken = Instant::now();
            let total = human(self.total.load(Ordering::Relaxed));
            eprintln!("fetch: {} of {total} of {}", human(bytes), self.repo);
        }
    }
}

impl Observer for Bar<'_> {
    fn begin(&self, files: usize, bytes: u64) {
        self.bytes.store(0, Ordering::Relaxed);
        self.total.store(bytes, Ordering::Relaxed);
        eprintln!("{:>10} {files} files of {}, {}", "fetch", self.repo, human(bytes));
        if std::io::stderr().is_terminal() {
            let up = bar(BAR, "fetch", bytes);
            *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(up);
        }
    }

    fn advance(&self, bytes: u64) {
        self.show(self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes);
    }

    fn retreat(&self, bytes: u64) {
        self.show(self.bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes);
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| eprintln!("{:>10} {text}", "note")),
            None => eprintln!("{:>10} {text}", "note"),
        }
    }

    fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }
}

/// Bytes for people.
fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
