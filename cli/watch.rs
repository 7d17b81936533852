//! What a person sees of a run: a bar on a terminal, now and then a plain line elsewhere, and at the end
//! what it was worth.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Stage};
use indicatif::{ProgressBar, ProgressStyle};

/// Plain lines come no closer than this.
const QUIET: Duration = Duration::from_secs(10);

const BAR: &str = "{prefix:>10.cyan.bold} [{bar:28}] {pos}/{len}  {msg}  {eta} left";

/// Watches one run.
pub struct Watch {
    bar: Option<ProgressBar>,
    terminal: bool,
    prefix: &'static str,
    /// Steps of the earlier stage, since bars count within a stage and checkpoints within a run.
    before: u64,
    steps: u64,
    spoken: Instant,
    rewards: Vec<f64>,
    evaluations: Vec<(&'static str, Metrics)>,
}

impl Watch {
    /// Watches from now on.
    pub fn new() -> Self {
        Self {
            bar: None,
            terminal: std::io::stderr().is_terminal(),
            prefix: "",
            before: 0,
            steps: 0,
            spoken: Instant::now(),
            rewards: vec![],
            evaluations: vec![],
        }
    }

    /// A line among the bars.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn open(&mut self, prefix: &'static str, done: u64, all: u64) {
        self.close();
        self.prefix = prefix;
        if !self.terminal {
            return;
        }
        let bar = ProgressBar::new(all).with_position(done).with_prefix(prefix);
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(250));
        self.bar = Some(bar);
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Ends the bars; the table is what the run came to.
    pub fn finish(mut self) -> String {
        self.close();
        let mut lines = table(&self.evaluations);
        if let (Some(first), Some(last)) = (mean_of(&self.rewards, false), mean_of(&self.rewards, true)) {
            let line = sparkline(&self.rewards);
            lines.push(format!("  {:<22}{line}  {first:.2} to {last:.2}", "reward while training"));
        }
        lines.join("\n")
    }
}

impl Observer for Watch {
    fn stage(&mut self, stage: Stage, done: u64, steps: u64) {
        if stage == Stage::Train && self.prefix == name(Stage::WarmUp) {
            self.before = self.steps;
        }
        self.steps = steps;
        if steps > 0 {
            self.open(name(stage), done, steps);
        }
    }

    fn step(&mut self, stage: Stage, step: u64, metrics: &Metrics) {
        if stage == Stage::Train {
            self.rewards.extend(metrics.get("reward/mean"));
        }
        let message = summary(stage, metrics);
        // An evaluation may have put its own bar in the place of the stage's.
        if stage != Stage::Start && self.prefix != name(stage) {
            self.open(name(stage), step.saturating_sub(self.before), self.steps);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(step.saturating_sub(self.before));
            bar.set_message(message.clone());
        }
        let due = !self.terminal && stage != Stage::Start && self.spoken.elapsed() > QUIET;
        if due {
            self.spoken = Instant::now();
            let (step, steps) = (step.saturating_sub(self.before), self.steps);
            eprintln!("{:>10} {step}/{steps}: {message}", name(stage));
        }
        if let Some(accuracies) = accuracies(metrics) {
            self.say(&format!("{:>10} step {step}: {accuracies}", "measured"));
            self.evaluations.push((name(stage), metrics.clone()));
        }
    }

    fn evaluating(&mut self, done: usize, all: usize) {
        if self.prefix != "measure" {
            self.open("measure", 0, all as u64);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            bar.set_message("answers");
        }
    }

    fn checkpoint(&mut self, _step: u64, dir: &Path) {
        self.say(&format!("{:>10} {}", "saved", dir.display()));
    }

    fn note(&mut self, text: &str) {
        self.say(&format!("{:>10} {text}", "note"));
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Start => "start",
        Stage::WarmUp => "warm-up",
        Stage::Train => "train",
    }
}

fn summary(stage: Stage, metrics: &Metrics) -> String {
    let shown: &[(&str, &str)] = match stage {
        Stage::Train => &[("reward", "reward/mean"), ("accuracy", "accuracy"), ("entropy", "entropy")],
        _ => &[("loss", "loss/total")],
    };
    let shown = shown.iter().filter_map(|(name, key)| Some(format!("{name} {:.3}", metrics.get(key)?)));
    let seconds = metrics.get("time/step_s").map(|seconds| format!("{seconds:.1} s a step"));
    shown.chain(seconds).collect::<Vec<_>>().join(", ")
}

/// `eval/TASK/CELL/accuracy` as (`TASK CELL`, value).
fn cells(metrics: &Metrics) -> impl Iterator<Item = (String, f64)> {
    metrics.iter().filter_map(|(key, value)| {
        let cell = key.strip_prefix("eval/")?.strip_suffix("/accuracy")?;
        Some((cell.replace('/', " "), value))
    })
}

fn accuracies(metrics: &Metrics) -> Option<String> {
    let all: Vec<_> = cells(metrics).map(|(cell, value)| format!("{cell} {:.1} %", 100.0 * value)).collect();
    (!all.is_empty()).then(|| format!("accuracy on {}", all.join(", ")))
}

/// Greedy accuracy by kind of image, one column a stage: the last measure of each.
fn table(evaluations: &[(&'static str, Metrics)]) -> Vec<String> {
    let mut columns: Vec<(&str, &Metrics)> = Vec::new();
    for (stage, metrics) in evaluations {
        columns.retain(|(other, _)| other != stage);
        columns.push((stage, metrics));
    }
    let Some((_, last)) = columns.last() else { return vec![] };
    let rows: Vec<String> = cells(last).map(|(cell, _)| cell).collect();
    let width = rows.iter().map(String::len).max().unwrap_or(0).max(20) + 2;
    let heads: String = columns.iter().map(|(stage, _)| format!("{:>10}", after(stage))).collect();
    let mut lines = vec![format!("  {:<width$}{heads}", "accuracy")];
    for row in rows {
        let value = |metrics: &Metrics| match cells(metrics).find(|(cell, _)| *cell == row) {
            Some((_, value)) => format!("{:>8.1} %", 100.0 * value),
            None => format!("{:>10}", "-"),
        };
        let values: String = columns.iter().map(|(_, metrics)| value(metrics)).collect();
        lines.push(format!("  {row:<width$}{values}"));
    }
    lines
}

fn after(stage: &str) -> &str {
    if stage == "train" { "trained" } else { stage }
}

/// Mean of the first or last fifth.
fn mean_of(values: &[f64], last: bool) -> Option<f64> {
    let n = values.len().div_ceil(5);
    let part = if last { &values[values.len() - n..] } else { &values[..n] };
    (n > 0).then(|| part.iter().sum::<f64>() / n as f64)
}

/// The curve in at most 32 characters, from its least to its largest value.
fn sparkline(values: &[f64]) -> String {
    const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let means: Vec<f64> = values
        .chunks(values.len().div_ceil(32).max(1))
        .map(|part| part.iter().sum::<f64>() / part.len() as f64)
        .collect();
    let (least, most) = means.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    let mark = |value: &f64| MARKS[((value - least) / (most - least).max(1e-9) * 7.0).round() as usize];
    means.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_curve_rises() {
        let line: Vec<char> = sparkline(&(0..100).map(f64::from).collect::<Vec<_>>()).chars().collect();
        assert!(line.len() <= 32 && line.first() == Some(&'▁') && line.last() == Some(&'█'));
        assert!(line.is_sorted());
        assert_eq!(sparkline(&[0.5]), "▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn the_table_has_the_last_measure_of_each_stage() {
        let measure = |value: f64| {
            let mut metrics = Metrics::default();
            metrics.put("eval/shapes/clean/accuracy", value);
            metrics.put("eval/shapes/clean/unparsed", 1.0);
            metrics
        };
        let all = [("start", measure(0.1)), ("train", measure(0.2)), ("train", measure(0.3))];
        let lines = table(&all);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("start") && lines[0].contains("trained"));
        assert!(lines[1].contains("10.0 %") && lines[1].contains("30.0 %") && !lines[1].contains("20.0 %"));
    }
}
