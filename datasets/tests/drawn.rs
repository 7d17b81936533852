//! The drawn tasks against a second reader: answers worked out from pixels and stated boxes, with nothing of the code
//! that drew them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_datasets::{OpenOptions, Sample, Split, Task, open};
use image::RgbImage;
use serde_json::Value;
use std::sync::Arc;

const PALETTE: [(&str, [i32; 3]); 6] = [
    ("red", [216, 40, 36]),
    ("green", [36, 164, 60]),
    ("blue", [44, 84, 220]),
    ("yellow", [240, 212, 44]),
    ("purple", [152, 60, 190]),
    ("white", [242, 242, 242]),
];

fn task(name: &str, size: u32) -> Box<dyn Task> {
    open(name, &OpenOptions { size: Some(size), seed: 5, ..OpenOptions::default() }).unwrap()
}

fn look(task: &dyn Task, i: usize) -> (Sample, Arc<RgbImage>) {
    let sample = task.sample(Split::Train, i).unwrap();
    let image = sample.images[0].decode().unwrap();
    (sample, image)
}

fn colour(p: [u8; 3]) -> &'static str {
    let far = |c: &[i32; 3]| c.iter().zip(p).map(|(a, b)| (a - i32::from(b)).abs()).sum::<i32>();
    PALETTE.iter().min_by_key(|(_, c)| far(c)).unwrap().0
}

fn numbers(v: &Value) -> Vec<i64> {
    v.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
}

fn centre(b: &Value) -> (u32, u32) {
    let b = numbers(b);
    ((b[0] + b[2] / 2) as u32, (b[1] + b[3] / 2) as u32)
}

#[test]
fn search_is_answered_by_what_stands_in_the_boxes() {
    let task = task("search", 448);
    for i in 0..160 {
        let (sample, image) = look(task.as_ref(), i);
        let seen = |b: &Value| {
            let (x, y) = centre(b);
            (colour(image.get_pixel(x, y).0), x, y)
        };
        let boxes = sample.meta["targets"].as_array().unwrap();
        let (first, x, y) = seen(&boxes[0]);
        let answer = match sample.meta["family"].as_str().unwrap() {
            "color" => first,
            _ => {
                let (second, x2, y2) = seen(&boxes[1]);
                assert!(
                    sample.problem.contains(first) && sample.problem.contains(second),
                    "{}",
                    sample.problem
                );
                match (sample.problem.contains("left"), x < x2, y < y2) {
                    (true, true, _) => "left",
                    (true, false, _) => "right",
                    (false, _, true) => "above",
                    (false, _, false) => "below",
                }
            }
        };
        assert_eq!(answer, sample.answer, "{}: {}", sample.id, sample.problem);
        // The targets are specks: a box is under a thousandth of the picture.
        let area = numbers(&boxes[0])[2] * numbers(&boxes[0])[3];
        assert!(area * 600 < 448 * 448, "{area}");
    }
}

#[test]
fn search_shows_no_other_coloured_figure() {
    let task = task("search", 448);
    for i in (0..80).step_by(4) {
        let (sample, image) = look(task.as_ref(), i);
        let boxes: Vec<_> =
            sample.meta["objects"].as_array().unwrap().iter().map(|o| numbers(&o["box"])).collect();
        for (x, y, p) in image.enumerate_pixels() {
            let vivid = p.0.iter().max().unwrap() - p.0.iter().min().unwrap() > 80;
            let within = |b: &Vec<i64>| {
                let (x, y) = (i64::from(x), i64::from(y));
                x >= b[0] - 1 && x <= b[0] + b[2] + 1 && y >= b[1] - 1 && y <= b[1] + b[3] + 1
            };
            assert!(!vivid || boxes.iter().any(within), "{}: colour at {x}, {y}", sample.id);
        }
    }
}

/// The rows on which the grid lines of a chart lie, top (9) to bottom (0).
fn grid(image: &RgbImage) -> Vec<u32> {
    let x = image.width() - image.width() / 14 - 3;
    let dark = |y: u32| image.get_pixel(x, y).0.iter().all(|&v| v < 215);
    (0..image.height()).filter(|&y| dark(y)).collect()
}

#[test]
fn charts_are_read_off_the_grid() {
    let task = task("charts", 168);
    for i in 0..200 {
        let (sample, image) = look(task.as_ref(), i);
        let lines = grid(&image);
        assert_eq!(lines.len(), 10, "{}", sample.id);
        let points: Vec<_> = sample.meta["points"].as_array().unwrap().iter().map(numbers).collect();
        let vivid = |x: i64, y: i64| {
            let p = image.get_pixel(x as u32, y as u32).0;
            p.iter().max().unwrap() - p.iter().min().unwrap() > 60
        };
        let mut values = Vec::new();
        for p in &points {
            let line = lines.iter().position(|&y| i64::from(y) == p[1]).unwrap();
            values.push(9 - line);
            assert!(vivid(p[0] - 1, p[1]), "{}: nothing drawn at {p:?}", sample.id);
            assert!(
                sample.meta["kind"] == "line" || !vivid(p[0] - 1, p[1] - 2),
                "{}: the bar goes on",
                sample.id
            );
        }
        let label = |k: usize| ["A", "B", "C", "D", "E"][k];
        let named = |word: &str| values[word.bytes().next().unwrap() as usize - usize::from(b'A')];
        let words: Vec<&str> = sample.problem.trim_end_matches('?').split(' ').collect();
        let best = |better: fn(usize, usize) -> bool| {
            label((0..values.len()).reduce(|a, b| if better(values[b], values[a]) { b } else { a }).unwrap())
                .to_owned()
        };
        let answer = match words[..] {
            ["What", .., of] => named(of).to_string(),
            [.., "highest"] => best(|a, b| a > b),
            [.., "lowest"] => best(|a, b| a < b),
            ["Is", a, .., b] => if named(a) > named(b) { "yes" } else { "no" }.to_owned(),
            _ => panic!("{}", sample.problem),
        };
        assert_eq!(answer, sample.answer, "{}: {}", sample.id, sample.problem);
    }
}

#[test]
fn digits_have_as_much_ink_as_their_glyphs() {
    let task = task("digits", 112);
    for i in 0..120 {
        let (sample, image) = look(task.as_ref(), i);
        let text = sample.meta["text"].as_str().unwrap();
        let b = numbers(&sample.meta["box"]);
        let scale = b[3] / 8;
        assert_eq!(b[2], 8 * scale * text.len() as i64);
        let ink = |p: &image::Rgb<u8>| p.0[0] == p.0[1] && p.0[1] == p.0[2] && !(38..=212).contains(&p.0[0]);
        for (k, c) in text.chars().enumerate() {
            let left = b[0] as u32 + k as u32 * 8 * scale as u32;
            let cell =
                image::imageops::crop_imm(&*image, left, b[1] as u32, 8 * scale as u32, 8 * scale as u32)
                    .to_image();
            let glyph: u32 = font8x8::legacy::BASIC_LEGACY[c as usize].iter().map(|r| r.count_ones()).sum();
            let found = cell.pixels().filter(|p| ink(p)).count() as i64;
            assert_eq!(found, i64::from(glyph) * scale * scale, "{}: `{c}` of {text}", sample.id);
        }
        let answer = match sample.meta["family"].as_str().unwrap() {
            "read" => text.to_owned(),
            "first" => text[..1].to_owned(),
            "last" => text[text.len() - 1..].to_owned(),
            _ => text.len().to_string(),
        };
        assert_eq!(answer, sample.answer);
    }
}

/// How grainy a picture is: mean absolute second difference along rows.
fn grain(image: &RgbImage) -> f64 {
    let at = |x: u32, y: u32| f64::from(image.get_pixel(x, y).0[1]);
    let (w, h) = image.dimensions();
    let sum: f64 = (0..h)
        .flat_map(|y| (1..w - 1).map(move |x| (x, y)))
        .map(|(x, y)| (at(x - 1, y) - 2. * at(x, y) + at(x + 1, y)).abs())
        .sum();
    sum / f64::from((w - 2) * h)
}

fn mean(image: &RgbImage) -> f64 {
    image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64
}

/// How many neighbours in a row are the same.
fn flat(image: &RgbImage) -> f64 {
    let (w, h) = image.dimensions();
    let same = (0..h)
        .flat_map(|y| (1..w).map(move |x| (x, y)))
        .filter(|&(x, y)| image.get_pixel(x, y) == image.get_pixel(x - 1, y));
    same.count() as f64 / f64::from(w * h)
}

#[test]
fn quality_falls_level_by_level() {
    let task = task("quality", 112);
    let mut by: std::collections::BTreeMap<(String, i64), Vec<f64>> = Default::default();
    for i in 0..900 {
        let (sample, image) = look(task.as_ref(), i);
        let kind = sample.meta["degradation_type"].as_str().unwrap().to_owned();
        let level = sample.meta["degradation_level"].as_i64().unwrap();
        assert_eq!(sample.answer.parse::<i64>().unwrap(), 5 - level);
        assert_eq!(kind == "none", level == 0);
        let damage = match kind.as_str() {
            "blur" => -grain(&image),
            "noise" => grain(&image),
            "pixelate" => flat(&image),
            "dark" => -mean(&image),
            _ => continue,
        };
        by.entry((kind, level)).or_default().push(damage);
    }
    let average = |kind: &str, level| {
        let all = &by[&(kind.to_owned(), level)];
        all.iter().sum::<f64>() / all.len() as f64
    };
    for kind in ["blur", "noise", "pixelate", "dark"] {
        for level in 1..4 {
            assert!(average(kind, level) < average(kind, level + 1), "{kind} {level}");
        }
    }
}

#[test]
fn prior_is_answered_by_the_figure_and_not_by_habit() {
    let task = task("prior", 112);
    let mut usual = 0;
    for i in 0..600 {
        let (sample, image) = look(task.as_ref(), i);
        let target = sample.meta["targets"][0].as_u64().unwrap() as usize;
        let (x, y) = centre(&sample.meta["objects"][target]["box"]);
        assert_eq!(colour(image.get_pixel(x, y).0), sample.answer, "{}", sample.id);
        usual += usize::from(sample.meta["typical"].as_bool().unwrap());
    }
    assert!((380..=460).contains(&usual), "{usual} of 600 are typical, stated are 70 %");
}
