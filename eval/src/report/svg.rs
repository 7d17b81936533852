//! Charts as inline SVG: an area with axes, and marks in it. Colours and fonts are the page's style sheet's;
//! a series is a class `s0` … `s7`.

use super::text::escape;
use std::fmt::Write;

/// Series with colours of their own; further ones begin again.
const SERIES: usize = 8;

/// Room for the labels.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// A range of values and where its marks stand.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub label: String,
    pub low: f64,
    pub high: f64,
    /// Values with a label.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Shares from 0 to at most 1, as percentages; `high` is the largest value that will be shown.
    pub(super) fn percent(label: &str, low: f64, high: f64) -> Self {
        let step = if high - low > 0.5 { 0.2 } else { 0.1 };
        let low = ((low / step + 1e-9).floor() * step).max(0.0);
        let high = ((high / step - 1e-9).ceil() * step).min(1.0).max(low + step);
        let steps = ((high - low) / step).round() as usize;
        let ticks = (0..=steps).map(|i| low + i as f64 * step);
        let ticks = ticks.map(|v| (v, format!("{:.0} %", 100.0 * v))).collect();
        Self { label: label.into(), low, high, ticks }
    }

    /// Any numbers; about four round ticks.
    pub(super) fn numbers(label: &str, low: f64, high: f64) -> Self {
        let (low, high) = if high - low < 1e-12 { (low - 0.5, high + 0.5) } else { (low, high) };
        let raw = (high - low) / 4.0;
        let power = 10f64.powf(raw.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|step| *step >= raw).unwrap_or(raw);
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|i| i as f64 * step);
        let ticks = ticks.map(|v| (v, super::text::number(v))).collect();
        Self { label: label.into(), low, high, ticks }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// A chart on its way.
#[derive(Debug)]
pub(super) struct Chart {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    marks: String,
    title: String,
    frame: Frame,
}

/// How much room the labels take.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Frame {
    Full,
    Small,
    None,
}

/// The class of a series.
pub(super) fn class(series: usize) -> String {
    format!("s{}", series % SERIES)
}

impl Chart {
    pub(super) fn new(title: impl Into<String>, (width, height): (f64, f64), x: Axis, y: Axis) -> Self {
        let frame = if width < 300.0 { Frame::Small } else { Frame::Full };
        Self { width, height, x, y, marks: String::new(), title: title.into(), frame }
    }

    /// A chart without labels or margins, for a cell of a table.
    pub(super) fn bare((width, height): (f64, f64), x: Axis, y: Axis) -> Self {
        Self { width, height, x, y, marks: String::new(), title: String::new(), frame: Frame::None }
    }

    /// Left, right, top, bottom.
    fn margins(&self) -> [f64; 4] {
        match self.frame {
            Frame::Full => [LEFT, RIGHT, TOP, BOTTOM],
            Frame::Small => [36.0, 8.0, 8.0, 20.0],
            Frame::None => [0.0; 4],
        }
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, right, top, bottom] = self.margins();
        let inner = (self.width - left - right, self.height - top - bottom);
        (left + inner.0 * self.x.share(x), top + inner.1 * (1.0 - self.y.share(y)))
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (i, point) in points.enumerate() {
            let (x, y) = self.at(point);
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        path
    }

    /// A line through points; `kind` is a further class: `thin`, `dashed`, …
    pub(super) fn line(&mut self, points: &[(f64, f64)], series: usize, kind: &str) {
        let path = self.path(points.iter().copied());
        let _ = write!(self.marks, "<path class=\"line {} {kind}\" d=\"{path}\"/>", class(series));
    }

    /// A dot with what is told of it on hovering.
    pub(super) fn dot(&mut self, point: (f64, f64), series: usize, say: &str) {
        let (x, y) = self.at(point);
        let _ = write!(
            self.marks,
            "<circle class=\"dot {}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{}\"><title>{}</title></circle>",
            class(series),
            if self.frame == Frame::Full { 4.0 } else { 2.5 },
            escape(say)
        );
    }

    /// A line across at a height, with a word at its right end.
    pub(super) fn level(&mut self, y: f64, word: &str) {
        let ((x0, at), (x1, _)) = (self.at((self.x.low, y)), self.at((self.x.high, y)));
        let _ = write!(
            self.marks,
            "<line class=\"level\" x1=\"{x0:.1}\" x2=\"{x1:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"note\" x=\"{x1:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            at - 4.0,
            escape(word)
        );
    }

    /// A straight line that is no data.
    pub(super) fn guide(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (self.at(from), self.at(to));
        let _ = write!(
            self.marks,
            "<line class=\"level\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        );
    }

    /// A word at a point, to its right unless it would leave the chart.
    pub(super) fn word(&mut self, point: (f64, f64), word: &str) {
        let (x, y) = self.at(point);
        let right = x > 0.6 * self.width;
        let (dx, anchor) = if right { (-8.0, "end") } else { (8.0, "start") };
        let _ = write!(
            self.marks,
            "<text class=\"word\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            x + dx,
            y + 4.0,
            escape(word)
        );
    }

    /// A horizontal interval with its middle, for a forest of differences.
    pub(super) fn interval(&mut self, low: f64, middle: f64, high: f64, y: f64, series: usize, say: &str) {
        let ((x0, at), (x1, _)) = (self.at((low, y)), self.at((high, y)));
        let _ = write!(
            self.marks,
            "<line class=\"line {}\" x1=\"{x0:.1}\" x2=\"{x1:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>",
            class(series)
        );
        self.dot((middle, y), series, say);
    }

    pub(super) fn render(self) -> String {
        let mut out = format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" class=\"chart{}\"><title>{}</title>",
            self.width,
            self.height,
            if self.frame == Frame::Full { "" } else { " small" },
            escape(&self.title)
        );
        for (value, label) in &self.y.ticks {
            let ((x0, y), (x1, _)) = (self.at((self.x.low, *value)), self.at((self.x.high, *value)));
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{x0:.1}\" x2=\"{x1:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                x0 - 6.0,
                y + 4.0,
                escape(label)
            );
        }
        let [left, right, _, bottom] = self.margins();
        let floor = self.height - bottom;
        for (value, label) in &self.x.ticks {
            let (x, _) = self.at((*value, self.y.low));
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                floor + 15.0,
                escape(label)
            );
        }
        if self.frame == Frame::Full {
            let middle = (left + self.width - right) / 2.0;
            let _ = write!(
                out,
                "<text class=\"label\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                self.height - 4.0,
                escape(&self.x.label)
            );
        }
        out.push_str(&self.marks);
        out.push_str("</svg>");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values_and_have_round_ticks() {
        let axis = Axis::percent("", 0.32, 0.71);
        assert!((axis.low - 0.3).abs() < 1e-9 && (axis.high - 0.8).abs() < 1e-9, "{axis:?}");
        let labels: Vec<_> = axis.ticks.iter().map(|tick| tick.1.as_str()).collect();
        assert_eq!(labels, ["30 %", "40 %", "50 %", "60 %", "70 %", "80 %"]);
        let axis = Axis::numbers("", -0.31, 1.1);
        assert!(
            axis.ticks.len() >= 3 && axis.ticks.iter().all(|(v, _)| (-0.31..=1.1).contains(v)),
            "{axis:?}"
        );
        assert!(!Axis::numbers("", 2.0, 2.0).ticks.is_empty());
        assert_eq!(Axis::percent("", 0.0, 1.0).ticks.len(), 6);
    }

    #[test]
    fn what_is_said_cannot_become_markup() {
        let axis = || Axis::numbers("<x>", 0.0, 1.0);
        let mut chart = Chart::new("a & b", (400.0, 200.0), axis(), axis());
        chart.dot((0.5, 0.5), 9, "<script>");
        let svg = chart.render();
        assert!(svg.contains("s1") && svg.contains("&lt;script&gt;") && svg.contains("a &amp; b"));
        assert!(!svg.contains("<script") && !svg.contains("<x>") && !svg.contains("NaN"));
    }
}
