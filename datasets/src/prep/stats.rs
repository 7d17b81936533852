//! Stats: sizes, answers and, given a tokenizer, tokens; as text, as JSON and as a small page.

use super::import::CountTokens;
use super::records::{self, SourceSpec};
use crate::{Result, Sample};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Answers listed by name.
const TOP: usize = 20;
/// Answers told apart; a set of free texts has as many as rows.
const MAX_ANSWERS: usize = 100_000;

/// Counts by bin; a bin's key is its lower edge.
pub type Histogram = BTreeMap<u64, u64>;

/// What a source holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Rows that can be read.
    pub rows: u64,
    /// Rows that cannot.
    pub broken: u64,
    /// Rows by number of images.
    pub images_per_row: Histogram,
    /// Images by width times height, in powers of two.
    pub pixels: Histogram,
    /// Images by longer over shorter side, in tenths.
    pub aspect: Histogram,
    /// Rows by characters of the question, in powers of two.
    pub characters: Histogram,
    /// Rows by prompt tokens, in powers of two; empty without a tokenizer.
    pub tokens: Histogram,
    /// Images whose header cannot be read.
    pub unreadable_images: u64,
    /// The commonest answers.
    pub answers: Vec<(String, u64)>,
    /// How many different answers there are (at least).
    pub distinct_answers: u64,
}

/// Reads all of `spec`, image headers only.
///
/// # Errors
/// The source cannot be opened, or the tokenizer fails.
pub fn stats(spec: &SourceSpec, tokens: Option<CountTokens>) -> Result<Stats> {
    let mut out = Stats::default();
    let mut answers: BTreeMap<String, u64> = BTreeMap::new();
    for record in records::open(spec)? {
        match record.sample {
            Ok(sample) => {
                out.add(&sample);
                if let Some(count) = tokens {
                    *out.tokens.entry(octave(count(&sample)? as u64)).or_default() += 1;
                }
                if answers.len() < MAX_ANSWERS || answers.contains_key(&sample.answer) {
                    *answers.entry(sample.answer).or_default() += 1;
                }
            }
            Err(_) => out.broken += record.count,
        }
    }
    out.distinct_answers = answers.len() as u64;
    out.answers = answers.into_iter().collect();
    out.answers.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    out.answers.truncate(TOP);
    Ok(out)
}

/// The greatest power of two that is not above `v`.
fn octave(v: u64) -> u64 {
    if v == 0 { 0 } else { 1 << v.ilog2() }
}

impl Stats {
    fn add(&mut self, sample: &Sample) {
        self.rows += 1;
        *self.images_per_row.entry(sample.images.len() as u64).or_default() += 1;
        *self.characters.entry(octave(sample.problem.chars().count() as u64)).or_default() += 1;
        for image in &sample.images {
            let Ok((width, height)) = image.dimensions() else {
                self.unreadable_images += 1;
                continue;
            };
            *self.pixels.entry(octave(u64::from(width) * u64::from(height))).or_default() += 1;
            let ratio = u64::from(width.max(height)) * 10 / u64::from(width.min(height)).max(1);
            *self.aspect.entry(ratio).or_default() += 1;
        }
    }

    fn histograms(&self) -> [(&'static str, &Histogram); 5] {
        [
            ("images per row", &self.images_per_row),
            ("pixels per image, from", &self.pixels),
            ("aspect ratio in tenths", &self.aspect),
            ("characters per question, from", &self.characters),
            ("tokens per prompt, from", &self.tokens),
        ]
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out =
            format!("{} rows, {} broken, {} answers\n", self.rows, self.broken, self.distinct_answers);
        for (title, histogram) in self.histograms().iter().filter(|h| !h.1.is_empty()) {
            let cells: Vec<_> = histogram.iter().map(|(k, n)| format!("{k}: {n}")).collect();
            let _ = writeln!(out, "{title}  {}", cells.join(", "));
        }
        let answers: Vec<_> = self.answers.iter().map(|(a, n)| format!("{a} {n}")).collect();
        let _ = writeln!(out, "answers  {}", answers.join(", "));
        out
    }

    /// A page of its own, nothing loaded from elsewhere.
    pub fn html(&self) -> String {
        let mut body = format!("<p>{} rows, {} broken</p>", self.rows, self.broken);
        for (title, histogram) in self.histograms().iter().filter(|h| !h.1.is_empty()) {
            let bars: Vec<_> = histogram.iter().map(|(k, n)| (k.to_string(), *n)).collect();
            body += &chart(title, &bars);
        }
        body += &chart("answers", &self.answers);
        format!(
            "<!doctype html><meta charset=utf-8><title>data</title><style>body{{font:14px system-ui;margin:2em;\
             color-scheme:light dark}}rect{{fill:#4a7ab5}}text{{fill:currentColor;font-size:12px}}</style>{body}\n"
        )
    }
}

/// Horizontal bars.
fn chart(title: &str, bars: &[(String, u64)]) -> String {
    let most = bars.iter().map(|b| b.1).max().unwrap_or(1).max(1);
    let height = bars.len() * 18 + 4;
    let mut out = format!("<h3>{}</h3><svg width=640 height={height}>", escape(title));
    for (i, (label, n)) in bars.iter().enumerate() {
        let (y, width) = (i * 18 + 14, n * 400 / most);
        let label: String = label.chars().take(24).collect();
        let _ = write!(
            out,
            "<text x=150 y={y} text-anchor=end>{}</text><rect x=156 y={} width={width} height=12 />\
             <text x={} y={y}>{n}</text>",
            escape(&label),
            y - 10,
            width + 162
        );
    }
    out + "</svg>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
