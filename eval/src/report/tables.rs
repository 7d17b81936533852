//! Tables: what a benchmark's own script states, accuracy by category, correlations of quality tasks.

use super::text::{count, escape, percent, range, spaced};
use crate::metrics::{Agreement, Group, RunSummary};
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
