//! How far a command is: a bar on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines come no closer than this: logs are read later, by scrolling.
const QUIET: Duration = Duration::from_secs(10);

const BAR: &str = "{prefix:>10.cyan.bold} [{bar:32}] {pos}/{len} {msg} {eta_precise} left";

/// Counts the pieces (rows, pictures) of some work, and the tokens they have.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    unit: &'static str,
    total: usize,
    done: usize,
    tokens: usize,
    started: Instant,
    spoken: Instant,
}

impl Progress {
    /// `total` rows to come.
    pub fn new(what: &'static str, total: usize) -> Self {
        Self::of(what, "rows", total)
    }

    /// `total` pieces to come.
    pub fn of(what: &'static str, unit: &'static str, total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(BAR, what, total as u64));
        let now = Instant::now();
        Self { bar, what, unit, total, done: 0, tokens: 0, started: now, spoken: now }
    }

    /// Pieces that are done, and the tokens they had.
    pub fn advance(&mut self, rows: usize, tokens: usize) {
        self.done += rows;
        self.tokens += tokens;
        let speed = self.speed();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}, {speed}", self.unit));
            bar.inc(rows as u64);
        } else if self.spoken.elapsed() > QUIET {
            self.spoken = Instant::now();
            eprintln!("{}: {} of {} {}, {speed}", self.what, self.done, self.total, self.unit);
        }
    }

    /// A row that was done before.
    pub fn skip(&mut self) {
        self.total = self.total.saturating_sub(1);
        if let Some(bar) = &self.bar {
            bar.set_length(self.total as u64);
        }
    }

    /// The last line.
    pub fn finish(self, result: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let (what, unit) = (self.what, self.unit);
        eprintln!("{what}: {} {unit} in {seconds:.1} s, {}; {result}", self.done, self.speed());
    }

    /// Tokens a second, or rows where tokens are not counted.
    fn speed(&self) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(1e-3);
        match self.tokens {
            0 => format!("{:.1} {}/s", self.done as f64 / seconds, self.unit),
            tokens => format!("{:.0} tokens/s", tokens as f64 / seconds),
        }
    }
}

/// A bar of `total` steps that looks like the others.
pub fn bar(template: &str, what: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
