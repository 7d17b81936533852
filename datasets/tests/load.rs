//! Mixtures keep their shares, orders are seeded and resumable, and the loader is ordered and bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::load::{Cursor, Lost, Mixture, Part, Prefetch};
use foveate_datasets::{DataOptions, OpenOptions, Split, image_runs, open, open_data};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn part(name: &str, train: usize, weight: f64) -> Part {
    let options = OpenOptions { train: Some(train), ..OpenOptions::default() };
    Part { task: open(name, &options).unwrap().into(), weight }
}

fn mixture(seed: u64) -> Mixture {
    Mixture::new(vec![part("shapes", 80, 3.), part("prior", 40, 1.)], Split::Train, seed, true).unwrap()
}

#[test]
fn shares_hold_and_every_epoch_sees_all() {
    let mixture = mixture(1);
    let mut cursor = Cursor::default();
    let draws: Vec<_> = (0..80).map(|_| mixture.next(&mut cursor)).collect();
    for n in [8, 40, 80] {
        let first = draws[..n].iter().filter(|d| d.part == 0).count();
        assert!((first as f64 - n as f64 * 0.75).abs() <= 1., "{first} of {n}");
    }
    // 10 images of 8 questions: each epoch of the first part is a permutation of its groups.
    let shapes: Vec<_> = draws.iter().filter(|d| d.part == 0).collect();
    let epoch = |e: u64| shapes.iter().filter(|d| d.epoch == e).map(|d| d.indices.start).collect::<Vec<_>>();
    for e in 0..5 {
        assert_eq!(epoch(e).iter().collect::<HashSet<_>>().len(), 10);
        assert!(shapes.iter().all(|d| d.indices.len() == 8 && d.indices.start % 8 == 0));
    }
    assert_ne!(epoch(0), epoch(1), "every epoch has its own order");
}

#[test]
fn a_stored_cursor_goes_on_where_it_stopped() {
    let whole = mixture(7);
    let mut cursor = Cursor::default();
    let all: Vec<_> = (0..50).map(|_| whole.next(&mut cursor)).collect();
    let mut cursor = Cursor::default();
    for _ in 0..23 {
        let _skipped = whole.next(&mut cursor);
    }
    let stored = serde_json::to_string(&cursor).unwrap();
    let mut cursor: Cursor = serde_json::from_str(&stored).unwrap();
    let again = mixture(7);
    let rest: Vec<_> = (23..50).map(|_| again.next(&mut cursor)).collect();
    assert_eq!(rest, all[23..]);
    let other = mixture(8);
    let mut cursor = Cursor::default();
    assert_ne!((0..50).map(|_| other.next(&mut cursor)).collect::<Vec<_>>(), all);
}

#[test]
fn a_mixture_of_nothing_is_refused() {
    let refused = |parts, split| Mixture::new(parts, split, 0, true).unwrap_err().to_string();
    assert!(refused(vec![], Split::Train).contains("nothing"));
    assert!(refused(vec![part("shapes", 8, 0.)], Split::Train).contains("weight 0"));
    assert!(refused(vec![part("shapes", 0, 1.)], Split::Train).contains("no samples"));
}

#[test]
fn results_come_in_order_and_no_more_than_asked_for_lie_ready() {
    let started = Arc::new(AtomicUsize::new(0));
    let seen = started.clone();
    let mut loader = Prefetch::new(0..200usize, 4, move |i| {
        seen.fetch_add(1, SeqCst);
        std::thread::sleep(std::time::Duration::from_micros(((i * 37) % 11) as u64 * 100));
        i * i
    });
    for i in 0..200 {
        assert_eq!(loader.next(), Some(Ok(i * i)));
        assert!(started.load(SeqCst) <= i + 1 + 4, "{} started after {i} were taken", started.load(SeqCst));
    }
    assert_eq!(loader.next(), None);
}

#[test]
fn a_panic_is_one_lost_item() {
    let loader = Prefetch::new(0..5u64, 2, |i| if i == 2 { panic!("on purpose") } else { i });
    assert_eq!(loader.collect::<Vec<_>>(), [Ok(0), Ok(1), Err(Lost(2)), Ok(3), Ok(4)]);
}

#[test]
fn a_pool_of_one_thread_feeds_itself() {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let all: Vec<_> = pool.install(|| Prefetch::new(0..20u64, 3, |i| i + 1).collect());
        send.send(all).unwrap();
    });
    let all = receive.recv_timeout(std::time::Duration::from_secs(60)).expect("the loader waits for itself");
    assert_eq!(all, (1..=20).map(Ok).collect::<Vec<_>>());
}

#[test]
fn neighbours_about_one_picture_are_known_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let images = support::golden().join("images");
    let rows = ["a.png", "a.png", "b.jpg", "", "", "a.png", "a.png,b.jpg", "a.png,b.jpg", "a.png,c.png"];
    let row = |(i, names): (usize, &&str)| {
        let images: Vec<_> = names.split(',').filter(|n| !n.is_empty()).collect();
        format!(
            "{}\n",
            serde_json::json!({"id": i, "problem": format!("{i}?"), "answer": "1", "images": images})
        )
    };
    let source = dir.path().join("rows.jsonl");
    std::fs::write(&source, rows.iter().enumerate().map(row).collect::<String>()).unwrap();
    for name in ["a.png", "b.jpg", "c.png"] {
        std::fs::copy(images.join(name), dir.path().join(name)).unwrap();
    }
    support::run(&support::options(&source, "auto", &dir.path().join("out")));
    // As paths, and as bytes of an import.
    for path in [source, dir.path().join("out")] {
        let options = DataOptions { train: Some(path.display().to_string()), ..DataOptions::default() };
        let task = open_data(&options).unwrap();
        let images: Vec<_> = (0..rows.len()).map(|i| task.image_of(Split::Train, i)).collect();
        assert_eq!(images, [0, 0, 2, 3, 4, 5, 6, 6, 8], "{}", path.display());
        assert_eq!(image_runs(3, |i| task.image_of(Split::Train, i)), [0..2, 2..3]);
    }
}
