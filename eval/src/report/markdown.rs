//! The report as plain text: for a terminal in a few lines, for a repository in Markdown.

use super::curves::{corruptions, levels};
use super::gather::Report;
use super::lead::lead;
use super::sentence::{clean, facts, label, sentence, settings, warnings};
use super::text::{percent, points, points_range, spaced};
use crate::metrics::{RunSummary, Summary};
use std::fmt::Write;

/// The numbers of each run, for a terminal.
pub fn brief(summary: &Summary) -> String {
    let share =
        |value: Option<f64>| value.map_or_else(|| format!("{:>10}", "–"), |v| format!("{:>10}", percent(v)));
    let names: Vec<String> =
        summary.runs.iter().map(|run| format!("{} {}", run.task, label(run, &summary.runs))).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(20);
    let mut out = format!(
        "\n  {:<width$}{:>10}{:>10}{:>10}{:>10}\n",
        "accuracy", "clean", "corrupted", "kept", "unparsed"
    );
    for (run, name) in summary.runs.iter().zip(&names) {
        let robust = run.robustness.as_ref();
        let _ = writeln!(
            out,
            "  {name:<width$}{}{}{}{}",
            share(clean(run)),
            share(robust.map(|robust| robust.corrupted.value)),
            share(robust.and_then(|robust| Some(robust.retention?.value))),
            share(run.counts.unparsed_share())
        );
    }
    out
}

/// The whole of it.
pub(super) fn document(report: &Report) -> String {
    let mut out = format!("# {}\n", super::page::title(report));
    for sentence in lead(&report.summary) {
        let _ = write!(out, "\n{sentence}\n");
    }
    for run in &report.summary.runs {
        let _ =
            write!(out, "\n## {}: {}\n\n{}\n\n", run.task, label(run, &report.summary.runs), sentence(run));
        for warning in warnings(run) {
            let _ = writeln!(out, "> {warning}\n");
        }
        let _ = writeln!(out, "{}.\n", settings(run));
        out.push_str("| | |\n|---|---|\n");
        for (name, value) in facts(run) {
            let _ = writeln!(out, "| {name} | {value} |");
        }
        out.push_str(&cells(run));
        out.push_str(&categories(run));
    }
    for comparison in &report.summary.comparisons {
        let [first, second] = comparison.runs.map(|at| label(&report.summary.runs[at], &report.summary.runs));
        let _ = write!(out, "\n## {}: {second} less {first}\n\n", comparison.task);
        out.push_str("| pictures | difference in points | 95 % interval | p |\n|---|---|---|---|\n");
        let pooled = comparison.corrupted.iter().map(|row| ("all corrupted".to_owned(), row, row.p));
        let each = comparison.cells.iter().map(|(name, row)| (spaced(name), row, row.p_holm));
        for (name, row, p) in pooled.chain(each) {
            let (gain, range) = (points(row.difference), points_range(row.interval));
            let _ = writeln!(out, "| {name} | {gain} | {range} | {} |", super::text::p_value(p));
        }
    }
    out.push_str(&elsewhere(report));
    if !report.commands.is_empty() {
        out.push_str("\n## To do it again\n\n");
        for run in &report.commands {
            let _ = writeln!(out, "    {}", run.command);
        }
    }
    out
}

/// Accuracy by corruption and severity.
fn cells(run: &RunSummary) -> String {
    let (names, levels) = (corruptions(&[run]), levels(run));
    if names.is_empty() {
        return String::new();
    }
    let heads: String = levels.iter().map(|level| format!(" {level} |")).collect();
    let mut out = format!("\n| corruption |{heads}\n|---|{}\n", "---|".repeat(levels.len()));
    for name in names {
        let at = |level: &u8| {
            let found =
                run.cells.iter().find(|c| c.corruption.as_ref() == Some(&name) && c.severity == *level);
            found
                .and_then(|cell| cell.counts.accuracy())
                .map_or_else(|| " – |".into(), |v| format!(" {} |", percent(v)))
        };
        let _ = writeln!(out, "| {} |{}", spaced(&name), levels.iter().map(at).collect::<String>());
    }
    out
}

/// What other programs would have read.
fn elsewhere(report: &Report) -> String {
    if report.elsewhere.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "\n## As other programs read it\n\n| task | model | program | accuracy there | here | another verdict |\n\
         |---|---|---|---|---|---|\n",
    );
    for other in &report.elsewhere {
        let (model, share) =
            (super::sentence::short(&other.model), |v: Option<f64>| v.map_or("–".into(), percent));
        let _ = writeln!(
            out,
            "| {} | {model} | {} | {} | {} | {} of {} |",
            other.task,
            other.extractor,
            share(other.accuracy),
            share(other.accuracy_here()),
            other.only[0] + other.only[1],
            other.counts.came()
        );
    }
    out
}

fn categories(run: &RunSummary) -> String {
    let mut out = String::new();
    for (key, groups) in &run.groups {
        let _ = write!(out, "\n| {key} | questions | accuracy |\n|---|---|---|\n");
        for group in groups {
            let share = group.accuracy.map_or_else(|| "–".into(), percent);
            let _ =
                writeln!(out, "| {} | {} | {share} |", group.name.replace('|', "\\|"), group.counts.came());
        }
    }
    out
}
