//! The heat map of corruption x severity, and the forest of paired differences.

use super::curves::{corruptions, levels};
use super::svg::{Axis, Chart};
use super::text::{escape, percent, points, points_range, spaced};
use crate::metrics::{Comparison, Difference, RunSummary};
use std::fmt::Write;

/// Points lost at which a cell is as red as it gets.
const REDDEST: f64 = 0.5;

/// Accuracy by corruption and severity, coloured by what is lost of the clean accuracy.
pub(super) fn heat_map(run: &RunSummary) -> String {
    let (names, levels) = (corruptions(&[run]), levels(run));
    if names.is_empty() {
        return String::new();
    }
    let clean = super::sentence::clean(run);
    let heads: String = levels.iter().map(|level| format!("<th class=\"n\">{level}</th>")).collect();
    let mut out = format!(
        "<div class=\"scroll\"><table class=\"heat\"><thead><tr><th>corruption</th>{heads}</tr></thead><tbody>"
    );
    for name in &names {
        let cell = |level: u8| {
            run.cells.iter().find(|c| c.corruption.as_deref() == Some(name) && c.severity == level)
        };
        let seen = levels.iter().find_map(|&level| cell(level)?.seen);
        let mark = match seen {
            Some(true) => " <small>seen</small>",
            Some(false) => " <small>unseen</small>",
            None => "",
        };
        let _ = write!(out, "<tr><th scope=\"row\">{}{mark}</th>", escape(&spaced(name)));
        for &level in &levels {
            let Some((cell, share)) = cell(level).and_then(|cell| Some((cell, cell.counts.accuracy()?)))
            else {
                out.push_str("<td class=\"n\">–</td>");
                continue;
            };
            let lost = clean.map_or(0.0, |clean| clean - share);
            let (hue, strength) = if lost >= 0.0 { ("bad", lost) } else { ("good", -lost) };
            let strength = (100.0 * (strength / REDDEST).min(1.0)).round();
            let star = match &cell.drift {
                Some(drift) if drift.p_holm < 0.05 => "<sup>*</sup>",
                _ => "",
            };
            let say = match &cell.drift {
                Some(drift) => format!(
                    "{} points; {} broke, {} were mended; p {:.3} after Holm",
                    points(-lost),
                    percent(drift.broken),
                    percent(drift.fix),
                    drift.p_holm
                ),
                None => format!("{} points", points(-lost)),
            };
            let _ = write!(
                out,
                "<td class=\"n {hue}\" style=\"--w:{strength}%\" title=\"{}\">{:.0}{star}</td>",
                escape(&say),
                100.0 * share
            );
        }
        out.push_str("</tr>");
    }
    out + "</tbody></table></div>"
}

/// The differences of two runs with their intervals: all corrupted pictures, clean ones, then each cell.
pub(super) fn forest(comparison: &Comparison) -> String {
    let corrupted = comparison.corrupted.map(|all| ("all corrupted".to_owned(), all));
    let clean = comparison.cells.get("clean").map(|cell| ("clean".to_owned(), *cell));
    let others = comparison.cells.iter().filter(|(name, _)| *name != "clean");
    let others = others.map(|(name, cell)| (spaced(name), *cell));
    let rows: Vec<(String, Difference)> = corrupted.into_iter().chain(clean).chain(others).collect();
    let ends = rows
        .iter()
        .map(|(_, row)| row.interval.map_or((row.difference, row.difference), |i| (i.low, i.high)));
    let (low, high) = ends.fold((0.0, 0.0), |(low, high): (f64, f64), (a, b)| (low.min(a), high.max(b)));
    let mut out = String::from(
        "<div class=\"scroll\"><table class=\"forest\"><thead><tr><th>pictures</th><th class=\"n\">first</th>\
         <th class=\"n\">second</th><th class=\"n\">difference</th><th class=\"n\">95 % interval</th>\
         <th class=\"plot\"></th><th class=\"n\">p</th></tr></thead><tbody>",
    );
    for (at, (name, row)) in rows.iter().enumerate() {
        let p = if at < usize::from(comparison.corrupted.is_some()) { row.p } else { row.p_holm };
        let _ = write!(
            out,
            "<tr{}><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\"><b>{}</b></td>\
             <td class=\"n\">{}</td><td class=\"plot\">{}</td><td class=\"n\">{}</td></tr>",
            if at == 0 { " class=\"first\"" } else { "" },
            escape(name),
            percent(row.accuracy[0]),
            percent(row.accuracy[1]),
            points(row.difference),
            points_range(row.interval),
            whisker(row, low, high),
            super::text::p_value(p)
        );
    }
    out + "</tbody></table></div>"
}

/// One interval beside the zero line.
fn whisker(row: &Difference, low: f64, high: f64) -> String {
    let pad = 0.05 * (high - low).max(0.02);
    let axis = |low, high| Axis { label: String::new(), low, high, ticks: vec![] };
    let mut chart = Chart::bare((160.0, 20.0), axis(low - pad, high + pad), axis(0.0, 1.0));
    chart.guide((0.0, 0.0), (0.0, 1.0));
    let (from, to) = row.interval.map_or((row.difference, row.difference), |i| (i.low, i.high));
    let series = match (from > 0.0, to < 0.0) {
        (true, _) => 2,
        (_, true) => 5,
        _ => 7,
    };
    chart.interval(from, row.difference, to, 0.5, series, &points(row.difference));
    chart.render()
}
