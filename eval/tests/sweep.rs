//! The sweep: decoding once, the same answers whatever the batch, and baselines that see nothing.
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::{Grade, ImageRef, Sample, Split, Task};
use foveate_eval::policy::{Baseline, BaselineKind, Local, Policy, TextOnly};
use foveate_eval::sweep::{Event, Plan, run};
use foveate_eval::{Record, Store, Verdict};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use image::RgbImage;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use support::{plan, shapes};

fn model(dir: &Path) -> Local {
    let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
    tiny::write(dir, &spec).unwrap();
    Local::open(dir, 4, 0.0).unwrap()
}

/// The records of a plan, by key.
fn asked<P: Policy>(plan: &Plan, policy: &P) -> BTreeMap<String, Record> {
    let (dir, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let mut store = Store::open(dir.path()).unwrap();
    run(plan, policy, &mut store, &stop, &mut |_| ()).unwrap();
    store.finish().unwrap().records.into_iter().map(|record| (record.key.clone(), record)).collect()
}

#[test]
fn answers_depend_on_the_question_alone() {
    let (dir, task) = (tempfile::tempdir().unwrap(), shapes());
    let policy = model(dir.path());
    let whole = asked(&plan(task.as_ref(), 24), &policy);
    assert_eq!(whole.len(), 72);
    assert!(whole.values().all(|record| record.outcome != Verdict::Failed));
    assert!(whole.values().all(|record| record.tokens.is_some() && record.finish.is_some()));
    let few = asked(&plan(task.as_ref(), 5), &policy);
    assert!(few.iter().all(|(key, record)| whole.get(key) == Some(record)));
    let seen = |name: &str| {
        let of = whole.values().filter(|record| record.corruption.as_deref() == Some(name));
        of.map(|record| record.seen).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(seen("contrast"), [Some(true)].into());
    assert_eq!(seen("gaussian_noise"), [Some(false)].into());
}

#[test]
fn the_budget_of_pixels_and_closed_eyes_are_other_questions() {
    let (dir, task) = (tempfile::tempdir().unwrap(), shapes());
    let (policy, plan) = (model(dir.path()), plan(task.as_ref(), 4));
    let whole = asked(&plan, &policy);
    let small = asked(&plan, &policy.with_max_pixels(56 * 56).unwrap());
    let blind = asked(&plan, &TextOnly::new(policy.clone()));
    assert!(whole.keys().all(|key| !small.contains_key(key) && !blind.contains_key(key)));
    assert!(small.values().all(|record| record.pixels == Some([56 * 56, 56 * 56])));
    // Grey stays grey under contrast: what is said to it is said to the clean one.
    let said = |cell: &str| {
        let of = blind.values().filter(|record| record.cell() == cell);
        of.map(|record| (record.sample.clone(), record.response.clone())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(said("clean"), said("contrast-3"));
    assert!(policy.with_max_pixels(1).unwrap_err().to_string().contains("--max-pixels"));
}

#[test]
fn chance_is_near_chance_and_always_a_is_constant() {
    let task = foveate_datasets::open("shapes", &foveate_datasets::OpenOptions::default()).unwrap();
    let task = task.as_ref();
    let known: Vec<_> = (0..1200)
        .map(|index| {
            let sample = task.sample(Split::Test, index).unwrap();
            (sample.meta["family"].as_str().unwrap().to_owned(), sample.answer)
        })
        .collect();
    let clean = |limit| Plan { cells: vec![foveate_eval::sweep::Cell::CLEAN], ..plan(task, limit) };
    let accuracy = |kind| {
        let records = asked(&clean(1200), &Baseline::new(kind, known.clone()));
        let right = records.values().filter(|record| record.outcome == Verdict::Right).count();
        right as f64 / records.len() as f64
    };
    let chance = f64::from(task.chance().unwrap().guess);
    assert!(
        (accuracy(BaselineKind::Chance) - chance).abs() < 0.06,
        "{} and {chance}",
        accuracy(BaselineKind::Chance)
    );
    assert!(accuracy(BaselineKind::AlwaysA) >= chance - 0.06);
}

/// Questions about one picture that lies in a pipe.
#[derive(Debug)]
struct Piped(PathBuf);

impl Task for Piped {
    fn name(&self) -> &'static str {
        "piped"
    }
    fn version(&self) -> u32 {
        1
    }
    fn len(&self, _: Split) -> usize {
        3
    }
    fn image_of(&self, _: Split, _: usize) -> usize {
        0
    }
    fn sample(&self, _: Split, index: usize) -> foveate_datasets::Result<Sample> {
        Ok(Sample {
            id: index.to_string(),
            problem: format!("What is it, {index}?"),
            answer: "x".into(),
            choices: vec![],
            images: vec![ImageRef::Path(self.0.clone())],
            meta: serde_json::Map::new(),
        })
    }
    fn grade(&self, _: &Sample, response: &str) -> Grade {
        Grade::of(response == "x", response)
    }
}

#[cfg(unix)]
#[test]
fn a_clean_picture_is_decoded_once_for_all_its_kinds_and_questions() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("picture.png");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut png = std::io::Cursor::new(Vec::new());
    RgbImage::new(60, 40).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let writing = pipe.clone();
    std::thread::spawn(move || {
        let open = |bytes: &[u8]| std::fs::File::create(&writing).unwrap().write_all(bytes).unwrap();
        open(png.get_ref());
        open(b"a second reader finds no picture");
    });
    let task = Piped(pipe);
    let images = foveate_eval::sweep::images(&task, Split::Test, None, 0, (0, 1)).unwrap();
    let shapes = shapes();
    let plan = Plan { task: &task, images, ..plan(shapes.as_ref(), 1) };
    let records = asked(&plan, &Baseline::new(BaselineKind::AlwaysA, [(String::new(), "x".into())]));
    assert_eq!(records.len(), 9);
    assert!(records.values().all(|record| record.outcome == Verdict::Right), "{records:?}");
}

#[test]
fn a_picture_that_is_none_fails_its_questions_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.png");
    std::fs::write(&broken, b"no picture").unwrap();
    let (task, shapes) = (Piped(broken), shapes());
    let images = foveate_eval::sweep::images(&task, Split::Test, None, 0, (0, 1)).unwrap();
    let plan = Plan { task: &task, images, ..plan(shapes.as_ref(), 1) };
    let records = asked(&plan, &Baseline::new(BaselineKind::AlwaysA, [(String::new(), "x".into())]));
    assert_eq!(records.len(), 9);
    assert!(
        records
            .values()
            .all(|r| r.outcome == Verdict::Failed && r.error.as_ref().unwrap().contains("broken.png"))
    );
}

#[test]
fn a_stop_keeps_what_came_and_the_next_run_asks_the_rest() {
    let (dir, task) = (tempfile::tempdir().unwrap(), shapes());
    // More than one batch of the model's.
    let (policy, plan) = (model(dir.path()), plan(task.as_ref(), 160));
    let (out, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let mut store = Store::open(out.path()).unwrap();
    let first = run(&plan, &policy, &mut store, &stop, &mut |_| {
        stop.store(true, std::sync::atomic::Ordering::SeqCst)
    });
    let first = first.unwrap();
    assert!(first.stopped && first.asked > 0 && first.asked < plan.len(), "{first:?}");
    drop(store.finish().unwrap());
    let mut store = Store::open(out.path()).unwrap();
    let (go, mut found) = (AtomicBool::new(false), 0);
    let second =
        run(&plan, &policy, &mut store, &go, &mut |event| found += usize::from(event == Event::Found));
    let second = second.unwrap();
    assert_eq!((second.found, second.asked, found), (first.asked, plan.len() - first.asked, first.asked));
    assert!(!second.stopped);
}
