//! Tables: what a benchmark's own script states, accuracy by category, correlations of quality tasks.

use super::sentence::short;
use super::text::{count, cut, escape, percent, range, spaced};
use crate::elsewhere::Elsewhere;
use crate::metrics::{Agreement, Group, RunSummary};
use crate::record::Verdict;
use std::fmt::Write;

/// The scores that the benchmark's own script states.
pub(super) fn scores(run: &RunSummary) -> String {
    if run.scores.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>score</th><th class=\"n\">value</th></tr></thead><tbody>",
    );
    for score in &run.scores {
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
            escape(&score.name),
            percent(score.value)
        );
    }
    out + "</tbody></table></div>"
}

/// One table for each way in which questions are filed.
pub(super) fn groups(run: &RunSummary) -> String {
    let mut out = String::new();
    for (key, groups) in &run.groups {
        let _ = write!(
            out,
            "<figure class=\"category\"><figcaption>by {}</figcaption><div class=\"scroll\"><table><thead><tr>\
             <th>{}</th><th class=\"n\">questions</th><th class=\"n\">accuracy</th><th class=\"bar\"></th>\
             <th class=\"n\">95 % interval</th></tr></thead><tbody>",
            escape(&spaced(key)),
            escape(&spaced(key))
        );
        groups.iter().for_each(|group| out.push_str(&row(group)));
        out.push_str("</tbody></table></div></figure>");
    }
    out
}

fn row(group: &Group) -> String {
    let share = group.accuracy;
    let bar = share.map_or_else(String::new, |share| {
        format!("<i class=\"bar\" style=\"width:{:.1}%\"></i>", 100.0 * share)
    });
    format!(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"bar\">{bar}</td><td class=\"n\">{}</td></tr>",
        escape(&group.name),
        count(group.counts.came()),
        share.map_or_else(|| "–".into(), percent),
        range(group.interval)
    )
}

/// How a quality task's scores follow those of people, by kind of picture.
pub(super) fn quality(run: &RunSummary) -> String {
    if run.quality.is_empty() {
        return String::new();
    }
    let heads = ["pictures", "unparsed", "PLCC", "SRCC", "KRCC", "RMSE", "PLCC fitted"];
    let heads: String = heads.iter().map(|head| format!("<th class=\"n\">{head}</th>")).collect();
    let mut out = format!("<div class=\"scroll\"><table><thead><tr><th>kind</th>{heads}</tr></thead><tbody>");
    for (cell, quality) in &run.quality {
        let show = |value: Option<f64>| value.map_or_else(|| "–".into(), |v| format!("{v:.3}"));
        let Agreement { plcc, srcc, krcc, rmse } = quality.raw;
        let fitted = quality.fitted_four.as_ref().and_then(|fit| fit.plcc);
        let values = [plcc, srcc, krcc, rmse, fitted].map(show);
        let values: String = values.iter().map(|value| format!("<td class=\"n\">{value}</td>")).collect();
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>{values}</tr>",
            escape(&spaced(cell)),
            count(quality.pictures),
            count(quality.unparsed)
        );
    }
    out + "</tbody></table></div>"
}

/// Several runs of a task, a row each.
pub(super) fn overview(runs: &[&RunSummary], labels: &[String]) -> String {
    if runs.len() < 3 {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table class=\"overview\"><thead><tr><th>model</th><th class=\"n\">clean</th>\
         <th class=\"n\">corrupted</th><th class=\"n\">kept</th><th>costs most</th></tr></thead><tbody>",
    );
    for (run, label) in runs.iter().zip(labels) {
        let robust = run.robustness.as_ref();
        let show = |value: Option<f64>| value.map_or_else(|| "–".into(), percent);
        let kept = robust.and_then(|robust| robust.retention).map(|kept| kept.value);
        let worst = robust.map(|robust| &robust.worst_corruption);
        let worst =
            worst.map_or_else(|| "–".into(), |(name, low)| format!("{} ({})", spaced(name), percent(*low)));
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(label),
            show(super::sentence::clean(run)),
            show(robust.map(|robust| robust.corrupted.value)),
            show(kept),
            escape(&worst)
        );
    }
    out + "</tbody></table></div>"
}

/// Responses of one program that are shown.
const SHOWN: usize = 4;

/// What other programs would have read in the same responses, and where they part from the task's own grade.
pub(super) fn elsewhere(all: &[Elsewhere]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let heads = [
        "accuracy there",
        "here",
        "another verdict",
        "right only there",
        "right only here",
        "left to its judge",
    ];
    let heads: String = heads.iter().map(|head| format!("<th class=\"n\">{head}</th>")).collect();
    let mut out = format!(
        "<h2>As other programs read it</h2><p class=\"quiet\">The same responses about clean pictures, read by the \
         rules of the programs that people use.</p><div class=\"scroll\"><table><thead><tr><th>program</th>\
         <th>task</th><th>model</th>{heads}</tr></thead><tbody>"
    );
    for other in all {
        let [here, there] = other.only;
        let show = |value: Option<f64>| value.map_or_else(|| "–".into(), percent);
        let verdicts = format!("{} of {}", count(here + there), count(other.counts.came()));
        let cells = [
            show(other.accuracy),
            show(other.accuracy_here()),
            verdicts,
            count(there),
            count(here),
            count(other.counts.unparsed),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td class=\"n\">{cell}</td>")).collect();
        let (program, task, model) = (&other.extractor, &other.task, short(&other.model));
        let names = [program, task, model].map(|name| format!("<td>{}</td>", escape(name))).concat();
        let _ = write!(out, "<tr>{names}{cells}</tr>");
    }
    out += "</tbody></table></div>";
    out + &disagreements(all)
}

/// Responses that are right in one reading only.
fn disagreements(all: &[Elsewhere]) -> String {
    let examples = || all.iter().flat_map(|other| other.examples.iter().take(SHOWN).map(move |e| (other, e)));
    if examples().next().is_none() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table class=\"words\"><thead><tr><th>response</th><th>right answer</th><th>read here as</th>\
         <th>program</th><th>read there as</th></tr></thead><tbody>",
    );
    for (other, example) in examples() {
        let [here, there] = example.read.each_ref().map(|read| match read {
            Some(text) => escape(&cut(text, 40)),
            None => "nothing".into(),
        });
        let [was, is] =
            example.outcome.map(|outcome| if outcome == Verdict::Right { "right" } else { "wrong" });
        let _ = write!(
            out,
            "<tr><td><q>{}</q></td><td>{}</td><td><span class=\"tag {was}\">{here}</span></td><td>{}</td>\
             <td><span class=\"tag {is}\">{there}</span></td></tr>",
            escape(&cut(&example.response, 160)),
            escape(&example.answer),
            escape(&other.extractor),
        );
    }
    out + "</tbody></table></div>"
}
