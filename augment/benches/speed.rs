//! Milliseconds of computing a picture for each corruption on one thread: one JSON line for each, which
//! `benches/peers/corruptions.py` sets beside imagecorruptions.
//!
//! `cargo bench -p foveate-augment --bench speed -- WIDTH HEIGHT [LEVELS] [NAMES]`, levels as `1,3,5`, names joined by
//! commas.

use foveate_augment::{CORRUPTIONS, Corruption, Severity};
use image::{Rgb, RgbImage};
use std::time::Instant;

/// The picture that the peer makes too, in integers: a ramp, a checkerboard and noise on one element in eight.
fn picture(w: u32, h: u32) -> RgbImage {
    let value = |x: u32, y: u32, c: u32| {
        let ramp = (x * 255 / (w - 1).max(1) * (c + 1) + y * 255 / (h - 1).max(1) * (3 - c)) / 4;
        let check = if ((x >> 3) ^ (y >> 3) ^ c) & 1 == 1 { 96 } else { 0 };
        let mut n = x.wrapping_mul(374_761_393).wrapping_add(y.wrapping_mul(668_265_263));
        n = n.wrapping_add(c.wrapping_mul(2_246_822_519));
        n = (n ^ (n >> 13)).wrapping_mul(1_274_126_177);
        n ^= n >> 16;
        (ramp + check + if n & 7 == 0 { n >> 24 } else { 0 }) as u8
    };
    RgbImage::from_fn(w, h, |x, y| Rgb([0, 1, 2].map(|c| value(x, y, c))))
}

/// Nanoseconds that this thread has computed for, which other work on the machine does not add to; wall time where the
/// system does not tell.
fn clock(start: Instant) -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let first = told.as_deref().and_then(|t| t.split(' ').next()).and_then(|n| n.parse().ok());
    first.unwrap_or_else(|| start.elapsed().as_nanos() as u64)
}

/// The mean of several runs; the clock may tick as slowly as 4 ms.
fn milliseconds(c: &dyn Corruption, image: &RgbImage, severity: Severity) -> f64 {
    let start = Instant::now();
    std::hint::black_box(c.apply(image, severity, 0));
    let begin = clock(start);
    for run in 1.. {
        std::hint::black_box(c.apply(std::hint::black_box(image), severity, run));
        let spent = clock(start) - begin;
        if spent > 200_000_000 {
            return spent as f64 / 1e6 / run as f64;
        }
    }
    0.
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, or: u32| words.get(i).and_then(|w| w.parse().ok()).unwrap_or(or);
    let (w, h) = (number(0, 1024), number(1, 1024));
    let levels = words.get(2).map_or("3", String::as_str).split(',').filter_map(|l| l.parse::<u8>().ok());
    let levels: Vec<u8> = levels.filter(|l| (1..=5).contains(l)).collect();
    let chosen = |c: &&&dyn Corruption| words.get(3).is_none_or(|n| n.split(',').any(|n| n == c.name()));
    let image = picture(w, h);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let work = || {
        for c in CORRUPTIONS.iter().filter(chosen) {
            for level in &levels {
                let ms = milliseconds(*c, &image, Severity::LEVELS[usize::from(*level) - 1]);
                println!(
                    r#"{{"name":"{}","level":{level},"width":{w},"height":{h},"ms":{ms:.3}}}"#,
                    c.name()
                );
            }
        }
    };
    match pool {
        Ok(pool) => pool.install(work),
        Err(error) => eprintln!("no pool of one thread: {error}"),
    }
}
