//! How far a command is: a bar on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines come no closer than this: logs are read later, by scrolling.
const QUIET: Duration = Duration::from_secs(10);

const BAR: &str = "{prefix:>10.cyan.bold} [{bar:32}] {pos}/{len} {msg} {eta_precise} left";

/// Counts rows and tokens of one piece of work.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: usize,
    done: usize,
    tokens: usize,
    started: Instant,
    spoken: Instant,
}

impl Progress {
    /// `total` rows to come.
    pub fn new(what: &'static str, total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
        let now = Instant::now();
        Self { bar, what, total, done: 0, tokens: 0, started: now, spoken: now }
    }

    /// Rows that are done, and the tokens they had.
    pub fn advance(&mut self, rows: usize, tokens: usize) {
        self.done += rows;
        self.tokens += tokens;
        let speed = self.speed();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("rows, {speed}"));
            bar.inc(rows as u64);
        } else if self.spoken.elapsed() > QUIET {
            self.spoken = Instant::now();
            eprintln!("{}: {} of {} rows, {speed}", self.what, self.done, self.total);
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
        eprintln!("{}: {} rows in {seconds:.1} s, {}; {result}", self.what, self.done, self.speed());
    }

    /// Tokens a second, or rows where tokens are not counted.
    fn speed(&self) -> String {
        let (count, unit) = if self.tokens > 0 { (self.tokens, "tokens") } else { (self.done, "rows") };
        format!("{:.0} {unit}/s", count as f64 / self.started.elapsed().as_secs_f64().max(1e-3))
    }
}

fn bar(what: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
