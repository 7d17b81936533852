//! `shapes` against a second reader: pixels inside the stated boxes, and answers worked out from the boxes alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_datasets::{OpenOptions, Sample, Split, open};
use image::RgbImage;
use serde_json::Value;

const PALETTE: [(&str, [i32; 3]); 6] = [
    ("red", [216, 40, 36]),
    ("green", [36, 164, 60]),
    ("blue", [44, 84, 220]),
    ("yellow", [240, 212, 44]),
    ("purple", [152, 60, 190]),
    ("white", [242, 242, 242]),
];

struct Seen {
    colour: &'static str,
    shape: &'static str,
    x: f32,
    y: f32,
}

fn nearest(p: [u8; 3]) -> (&'static str, i32) {
    let far = |c: &[i32; 3]| c.iter().zip(p).map(|(a, b)| (a - i32::from(b)).abs()).sum::<i32>();
    PALETTE.iter().map(|(name, c)| (*name, far(c))).min_by_key(|x| x.1).unwrap()
}

/// What stands in a box: its colour from the centre, its shape from a few probes.
fn look(image: &RgbImage, b: &Value) -> Seen {
    let [x, y, w, h] = [0, 1, 2, 3].map(|i| b[i].as_f64().unwrap() as f32);
    // Whole-pixel boxes are on average one pixel wider than the figure.
    let (cx, cy, w, h) = (x + w / 2., y + h / 2., w - 1., h - 1.);
    let at = |dx: f32, dy: f32| image.get_pixel((cx + dx * w / 2.) as u32, (cy + dy * h / 2.) as u32).0;
    let (colour, _) = nearest(at(0., 0.));
    let filled = |dx, dy| matches!(nearest(at(dx, dy)), (c, far) if c == colour && far < 60);
    // Texture may hide one corner of a small square; a circle has none.
    let cornered = filled(0.78, 0.78) || filled(-0.78, 0.78);
    let shape = match (filled(-0.6, -0.6), filled(0.6, 0.6), cornered) {
        (true, true, true) => "square",
        (true, true, false) => "circle",
        (false, true, _) => "triangle",
        _ => "cross",
    };
    Seen { colour, shape, x: cx, y: cy }
}

fn find<'a>(seen: &'a [Seen], word: &str) -> &'a Seen {
    seen.iter().find(|s| s.colour == word || s.shape == word).unwrap()
}

/// Answers a question from what was seen.
fn answer(q: &str, seen: &[Seen], size: f32) -> String {
    let words: Vec<&str> = q.trim_end_matches('?').split(' ').collect();
    let yes = |b: bool| if b { "yes" } else { "no" };
    match words[..] {
        ["How", "many", ..] => seen.len().to_string(),
        ["What", "color", "is", "the", shape] => find(seen, shape).colour.into(),
        ["What", "shape", "is", colour] => find(seen, colour).shape.into(),
        ["Is", "the", c, "shape", .., "left", "or", "right"] => {
            if find(seen, c).x < size / 2. { "left" } else { "right" }.into()
        }
        ["Is", "the", c, "shape", .., "top", "or", "bottom"] => {
            if find(seen, c).y < size / 2. { "top" } else { "bottom" }.into()
        }
        ["Is", "the", a, "left", "of", "the", b] => yes(find(seen, a).x < find(seen, b).x).into(),
        ["Is", "the", a, "above", "the", b] => yes(find(seen, a).y < find(seen, b).y).into(),
        ["Is", "there", "a", c, "shape"] => yes(seen.iter().any(|s| s.colour == c)).into(),
        ["Is", "there", "a", c, s] => yes(seen.iter().any(|o| o.colour == c && o.shape == s)).into(),
        ["Is", "there", "a", s] => yes(seen.iter().any(|o| o.shape == s)).into(),
        _ => panic!("unknown question {q}"),
    }
}

fn check(sample: &Sample) -> (usize, String) {
    let image = sample.images[0].decode().unwrap();
    let objects = sample.meta["objects"].as_array().unwrap();
    let seen: Vec<Seen> = objects.iter().map(|o| look(&image, &o["box"])).collect();
    for (o, s) in objects.iter().zip(&seen) {
        assert_eq!(
            (o["color"].as_str(), o["shape"].as_str()),
            (Some(s.colour), Some(s.shape)),
            "{}",
            sample.id
        );
    }
    let got = answer(&sample.problem, &seen, image.width() as f32);
    assert_eq!(got, sample.answer, "{}: {}", sample.id, sample.problem);
    (objects.len(), sample.meta["family"].as_str().unwrap().to_owned())
}

#[test]
fn answers_follow_from_the_pixels() {
    for (size, n) in [(112, 2400), (64, 800), (224, 240)] {
        let options = OpenOptions { size: Some(size), seed: 2, ..OpenOptions::default() };
        let task = open("shapes", &options).unwrap();
        let mut families = std::collections::BTreeMap::new();
        let mut counts = [0; 4];
        for i in 0..n {
            let (objects, family) = check(&task.sample(Split::Train, i).unwrap());
            counts[objects] += 1;
            *families.entry(family).or_insert(0) += 1;
        }
        assert_eq!(families.len(), 6, "{families:?}");
        assert!(counts[1..].iter().all(|&c| c * 5 > n), "{counts:?}");
    }
}

#[test]
fn sizes_outside_the_range_are_refused() {
    let options = OpenOptions { size: Some(8), ..OpenOptions::default() };
    assert!(open("shapes", &options).unwrap_err().to_string().contains('8'));
}
