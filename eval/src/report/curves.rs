//! Accuracy against severity, clean against corrupted, against the budget of pixels, and curves of training.

use super::sentence::{clean, label, name};
use super::svg::{Axis, Chart, class};
use super::text::{count, cut, escape, number, percent, spaced};
use super::training::{Training, shown};
use crate::metrics::{CellSummary, RunSummary};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A chart that stands alone, and one of many.
const WIDE: (f64, f64) = (720.0, 340.0);
const SMALL: (f64, f64) = (220.0, 150.0);

/// A longer label would leave its chart; the legend has all of it.
const LONGEST_WORD: usize = 36;

/// Points of a long curve.
const MOST_POINTS: usize = 240;

/// Names with their colours.
pub(super) fn legend(names: &[String]) -> String {
    let item = |(at, name): (usize, &String)| {
        format!("<span class=\"key\"><i class=\"{}\"></i>{}</span>", class(at), escape(name))
    };
    format!("<p class=\"legend\">{}</p>", names.iter().enumerate().map(item).collect::<String>())
}

/// Severity and accuracy of one corruption, clean pictures as severity 0.
fn curve(run: &RunSummary, corruption: &str) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = clean(run).map(|share| (0.0, share)).into_iter().collect();
    let of = |cell: &&CellSummary| cell.corruption.as_deref() == Some(corruption);
    let cells = run.cells.iter().filter(of);
    points.extend(cells.filter_map(|cell| Some((f64::from(cell.severity), cell.counts.accuracy()?))));
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// The corruptions of some runs, in order of their names.
pub(super) fn corruptions(runs: &[&RunSummary]) -> Vec<String> {
    let mut all: Vec<String> =
        runs.iter().flat_map(|run| &run.cells).filter_map(|cell| cell.corruption.clone()).collect();
    all.sort();
    all.dedup();
    all
}

/// The severities of a run's corruptions, rising.
pub(super) fn levels(run: &RunSummary) -> Vec<u8> {
    let mut all: Vec<u8> = run.cells.iter().map(|cell| cell.severity).filter(|&level| level > 0).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The mean over corruptions at each severity.
fn mean_curve(run: &RunSummary) -> Vec<(f64, f64)> {
    let mut by: BTreeMap<u8, Vec<f64>> = BTreeMap::new();
    for cell in &run.cells {
        by.entry(cell.severity).or_default().extend(cell.counts.accuracy());
    }
    let mean = |(severity, shares): (u8, Vec<f64>)| {
        (!shares.is_empty()).then(|| (f64::from(severity), shares.iter().sum::<f64>() / shares.len() as f64))
    };
    by.into_iter().filter_map(mean).collect()
}

fn severities() -> Axis {
    let ticks =
        (0..=5).map(|level| (f64::from(level), if level == 0 { "clean".into() } else { level.to_string() }));
    Axis { label: "severity".into(), low: -0.15, high: 5.15, ticks: ticks.collect() }
}

fn bounds<'a>(curves: impl Iterator<Item = &'a (f64, f64)>) -> (f64, f64) {
    curves.fold((1.0, 0.0), |(low, high): (f64, f64), &(_, y)| (low.min(y), high.max(y)))
}

/// The means of all runs in one chart, then one small chart for each corruption.
pub(super) fn severity(runs: &[&RunSummary], labels: &[String]) -> String {
    let names = corruptions(runs);
    if names.is_empty() {
        return String::new();
    }
    let means: Vec<_> = runs.iter().map(|run| mean_curve(run)).collect();
    let each: Vec<Vec<_>> =
        runs.iter().map(|run| names.iter().map(|name| curve(run, name)).collect()).collect();
    let chance = runs.iter().find_map(|run| run.chance);
    let all = each.iter().flatten().flatten();
    let (low, high) = bounds(all);
    let low = chance.map_or(low, |chance| low.min(chance));
    let axes = || (severities(), Axis::percent("accuracy", low, high));
    let (x, y) = axes();
    let mut chart = Chart::new("Accuracy against severity, the mean over corruptions", WIDE, x, y);
    if let Some(chance) = chance {
        chart.level(chance, "blind guessing");
    }
    for (series, run) in each.iter().enumerate() {
        // With several runs the lines of single corruptions would only be a haze.
        if runs.len() == 1 {
            run.iter().for_each(|curve| chart.line(curve, series, "thin"));
        }
    }
    for (series, mean) in means.iter().enumerate() {
        chart.line(mean, series, "");
        for point in mean {
            let say = format!("{}, severity {}: {}", labels[series], point.0, percent(point.1));
            chart.dot(*point, series, &say);
        }
    }
    let mut out = legend(labels) + &chart.render() + "<div class=\"small-charts\">";
    for (at, name) in names.iter().enumerate() {
        let (x, y) = axes();
        let x = Axis {
            ticks: x.ticks.into_iter().map(|(v, word)| (v, word.replace("clean", "0"))).collect(),
            ..x
        };
        let mut chart = Chart::new(format!("{name}: accuracy against severity"), SMALL, x, y);
        for (series, run) in each.iter().enumerate() {
            chart.line(&run[at], series, "");
            for point in &run[at] {
                chart.dot(*point, series, &format!("{}: {}", labels[series], percent(point.1)));
            }
        }
        let _ = write!(
            out,
            "<figure><figcaption>{}</figcaption>{}</figure>",
            escape(&spaced(name)),
            chart.render()
        );
    }
    out + "</div>"
}

/// Clean against corrupted accuracy, a dot a run, with the line on which nothing is lost.
pub(super) fn scatter(runs: &[&RunSummary], labels: &[String]) -> String {
    let point = |run: &&RunSummary| Some((clean(run)?, run.robustness.as_ref()?.corrupted.value));
    let points: Vec<_> = runs.iter().map(point).collect();
    let there: Vec<(f64, f64)> = points.iter().flatten().copied().collect();
    if there.len() < 2 {
        return String::new();
    }
    let both = there.iter().flat_map(|&(x, y)| [(0.0, x), (0.0, y)]).collect::<Vec<_>>();
    let (low, high) = bounds(both.iter());
    let (x, y) = (Axis::percent("accuracy on clean pictures", low, high), Axis::percent("", low, high));
    let (from, to) = (x.low, x.high);
    let mut chart = Chart::new("Accuracy on clean against corrupted pictures", (720.0, 400.0), x, y);
    chart.guide((from, from), (to, to));
    for (series, point) in points.iter().enumerate() {
        let Some(point) = point else { continue };
        let say = format!("{}: clean {}, corrupted {}", labels[series], percent(point.0), percent(point.1));
        chart.dot(*point, series, &say);
        chart.word(*point, &cut(&labels[series], LONGEST_WORD));
    }
    let note = "<p class=\"quiet\">On the dashed line corruption costs nothing; the vertical axis is the mean over \
                all corrupted cells.</p>";
    chart.render() + note
}

/// Accuracy of a model at several largest areas of pictures.
pub(super) fn budgets(runs: &[&RunSummary], all: &[RunSummary]) -> String {
    let mut by: BTreeMap<String, Vec<(u64, &RunSummary)>> = BTreeMap::new();
    for run in runs {
        if let Some([_, most]) = run.pixels {
            by.entry(name(run, all)).or_default().push((most, run));
        }
    }
    by.retain(|_, runs| runs.len() > 1);
    if by.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<div class=\"scroll\"><table><thead><tr><th>model</th><th>largest area</th><th class=\"n\">clean</th>\
         <th class=\"n\">corrupted</th></tr></thead><tbody>",
    );
    for (model, mut runs) in by {
        runs.sort_by_key(|(most, _)| *most);
        for (most, run) in runs {
            let share = |value: Option<f64>| value.map_or_else(|| "–".into(), percent);
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{} pixels</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escape(&model),
                count(most as usize),
                share(clean(run)),
                share(run.robustness.as_ref().map(|robust| robust.corrupted.value))
            );
        }
    }
    out + "</tbody></table></div>"
}

/// The curves of training runs, one chart a metric.
pub(super) fn training(runs: &[Training]) -> String {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    let mut out = legend(&names) + "<div class=\"small-charts wide\">";
    for (key, word) in shown(runs) {
        let curves: Vec<_> =
            runs.iter().map(|run| run.curves.get(&key).cloned().unwrap_or_default()).collect();
        let points = || curves.iter().flatten().filter(|(_, y)| y.is_finite());
        let fold = |of: fn(&(f64, f64)) -> f64| {
            points().map(of).fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((x0, x1), (y0, y1)) = (fold(|p| p.0), fold(|p| p.1));
        if points().count() < 2 || x0 >= x1 {
            continue;
        }
        let share = key.ends_with("accuracy") || key == "reward/mean" && y0 >= 0.0 && y1 <= 1.0;
        let y = if share { Axis::percent("", y0, y1) } else { Axis::numbers("", y0, y1) };
        let mut chart = Chart::new(word.clone(), (290.0, 170.0), Axis::numbers("step", x0, x1), y);
        for (series, curve) in curves.iter().enumerate() {
            chart.line(&thinned(curve), series, "");
            if curve.len() < 12 {
                curve.iter().for_each(|p| chart.dot(*p, series, &format!("step {}: {}", p.0, number(p.1))));
            }
        }
        let _ = write!(out, "<figure><figcaption>{}</figcaption>{}</figure>", escape(&word), chart.render());
    }
    out + "</div>"
}

/// Means of neighbours, so that a long curve stays a short path.
fn thinned(curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<_> = curve.iter().copied().filter(|(_, y)| y.is_finite()).collect();
    let mean = |part: &[(f64, f64)]| {
        let n = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / n, part.iter().map(|p| p.1).sum::<f64>() / n)
    };
    finite.chunks(finite.len().div_ceil(MOST_POINTS).max(1)).map(mean).collect()
}

/// The labels of runs.
pub(super) fn labels(runs: &[&RunSummary], all: &[RunSummary]) -> Vec<String> {
    runs.iter().map(|run| label(run, all)).collect()
}
