//! `charts`: a bar or a line chart of three to five values from 1 to 9: one value, the highest, the lowest, and which of
//! two is higher.

use crate::synth::draw::permutation;
use crate::synth::drawn::{self, Drawn, Picture, Question};
use crate::synth::figures::COLOURS;
use crate::synth::text;
use crate::{Chance, Grade, Sample, TaskEntry, grade};
use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, json};
use std::ops::RangeInclusive;

/// The line in the table.
pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: Charts::NAME,
    summary: "bar and line charts of a few values: read, compare (built in)",
    needs_data: false,
    open: drawn::open::<Charts>,
};

const LABELS: [&str; 5] = ["A", "B", "C", "D", "E"];
const TOP: usize = 9;
const INK: [u8; 3] = [20, 20, 20];
const GRID: [u8; 3] = [205, 205, 205];

#[derive(Debug)]
struct Charts;

/// Where values lie on the page.
struct Frame {
    size: u32,
    count: usize,
    margin: u32,
}

impl Frame {
    /// Height on the page of `value`.
    fn y(&self, value: usize) -> u32 {
        let bottom = self.size - self.margin;
        bottom - (bottom - self.margin / 2) * value as u32 / TOP as u32
    }

    /// Middle of the column of value `k`.
    fn x(&self, k: usize) -> u32 {
        let width = self.size - self.margin - self.margin / 2;
        self.margin + width * (2 * k as u32 + 1) / (2 * self.count as u32)
    }

    fn half_bar(&self) -> u32 {
        ((self.size - self.margin) / (4 * self.count as u32)).max(2)
    }
}

impl Drawn for Charts {
    const NAME: &'static str = "charts";
    const PER_IMAGE: usize = 4;
    const SIZE: u32 = 168;
    const SIZES: RangeInclusive<u32> = 112..=2048;

    fn draw(rng: &mut ChaCha8Rng, size: u32) -> Picture {
        let count = rng.random_range(3..=LABELS.len());
        let values: Vec<usize> = permutation(rng, TOP)[..count].iter().map(|v| v + 1).collect();
        let frame = Frame { size, count, margin: (size / 7).max(20) };
        let paper: u8 = rng.random_range(235..=255);
        let mut image =
            RgbImage::from_fn(size, size, |_, _| Rgb([paper.saturating_sub(rng.random_range(0..4)); 3]));
        axes(&mut image, &frame);
        let colour = COLOURS[rng.random_range(0..5)].1;
        let bars = rng.random_bool(0.5);
        if bars {
            draw_bars(&mut image, &frame, &values, colour)
        } else {
            draw_line(&mut image, &frame, &values, colour)
        };
        let named: Map<_, _> = LABELS.iter().zip(&values).map(|(l, v)| ((*l).to_owned(), json!(v))).collect();
        let kind = if bars { "bar" } else { "line" };
        let points: Vec<_> =
            values.iter().enumerate().map(|(k, &v)| json!([frame.x(k), frame.y(v)])).collect();
        let meta = [("values", named.into()), ("kind", kind.into()), ("points", points.into())];
        let meta = meta.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Picture { image, questions: ask(rng, &values), meta }
    }

    fn grade(sample: &Sample, response: &str) -> Grade {
        let label = |w: &str| LABELS.iter().any(|l| l.eq_ignore_ascii_case(w));
        let known =
            |w: &str| label(w) || ["yes", "no"].contains(&w) || w.parse().is_ok_and(|v: usize| v <= TOP);
        grade::exact::closed(&sample.answer, known, response)
    }

    fn chance() -> Chance {
        let extreme = (1. / 3. + 1. / 4. + 1. / 5.) / 3.;
        let guess = (1. / TOP as f32 + 2. * extreme + 0.5) / 4.;
        Chance { guess, text_only: guess }
    }
}

fn ask(rng: &mut ChaCha8Rng, values: &[usize]) -> Vec<Question> {
    let order = permutation(rng, values.len());
    let (a, b) = (order[0], order[1]);
    let at = |best: Option<(usize, &usize)>| best.map_or("", |(k, _)| LABELS[k]);
    let highest = at(values.iter().enumerate().max_by_key(|v| v.1));
    let lowest = at(values.iter().enumerate().min_by_key(|v| v.1));
    let higher = if values[a] > values[b] { "yes" } else { "no" };
    vec![
        Question::new("value", format!("What is the value of {}?", LABELS[a]), values[a]),
        Question::new("extreme", "Which value is the highest?", highest),
        Question::new("extreme", "Which value is the lowest?", lowest),
        Question::new("compare", format!("Is {} higher than {}?", LABELS[a], LABELS[b]), higher),
    ]
}

fn block(image: &mut RgbImage, xs: std::ops::Range<u32>, ys: std::ops::Range<u32>, colour: [u8; 3]) {
    for y in ys.start..ys.end.min(image.height()) {
        for x in xs.start..xs.end.min(image.width()) {
            image.put_pixel(x, y, Rgb(colour));
        }
    }
}

fn axes(image: &mut RgbImage, frame: &Frame) {
    let scale = (frame.size / 168).max(1);
    let right = frame.size - frame.margin / 4;
    for value in 0..=TOP {
        let y = frame.y(value);
        let (start, colour) = if value == 0 { (frame.margin - 1, INK) } else { (frame.margin, GRID) };
        block(image, start..right, y..y + 1, colour);
        let left = i64::from(frame.margin) - i64::from(text::width("0", scale)) - 3;
        text::paint(
            image,
            (left, i64::from(y) - i64::from(text::CELL * scale / 2)),
            scale,
            INK,
            &value.to_string(),
        );
    }
    block(image, frame.margin - 1..frame.margin, frame.y(TOP)..frame.y(0), INK);
    for (k, label) in LABELS.iter().enumerate().take(frame.count) {
        let x = i64::from(frame.x(k)) - i64::from(text::width(label, scale) / 2);
        text::paint(image, (x, i64::from(frame.y(0)) + 4), scale, INK, label);
    }
}

fn draw_bars(image: &mut RgbImage, frame: &Frame, values: &[usize], colour: [u8; 3]) {
    for (k, &value) in values.iter().enumerate() {
        let (x, half) = (frame.x(k), frame.half_bar());
        block(image, x - half..x + half, frame.y(value)..frame.y(0), colour);
    }
}

fn draw_line(image: &mut RgbImage, frame: &Frame, values: &[usize], colour: [u8; 3]) {
    let thick = (frame.size / 112).max(1);
    for (k, pair) in values.windows(2).enumerate() {
        let (x0, x1) = (frame.x(k), frame.x(k + 1));
        let (y0, y1) = (frame.y(pair[0]) as f32, frame.y(pair[1]) as f32);
        for step in 0..=(x1 - x0) * 4 {
            let part = step as f32 / ((x1 - x0) * 4) as f32;
            let (x, y) = (x0 + step / 4, (y0 + (y1 - y0) * part) as u32);
            block(image, x..x + thick, y..y + thick, colour);
        }
    }
    for (k, &value) in values.iter().enumerate() {
        let (x, y) = (frame.x(k), frame.y(value));
        block(image, x - thick - 1..x + thick + 1, y - thick - 1..y + thick + 1, colour);
    }
}
