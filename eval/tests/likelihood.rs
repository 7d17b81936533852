//! V*'s way of scoring: the likeliest option, whatever the order.
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::{OpenOptions, Task, open};
use foveate_eval::likelihood::{Likeliest, Likelihood, SAMPLING, likeliest};
use foveate_eval::policy::{Asked, Local, Policy, messages};
use foveate_eval::sweep::{Plan, images, run};
use foveate_eval::{Record, Store, Verdict};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use support::{plan, shapes};

fn vstar() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/benchmarks/vstar_folder")
}

fn model(dir: &Path, family: Family) -> Local {
    tiny::write(dir, &TinySpec { words: tiny::WORDS, ..TinySpec::laws(family) }).unwrap();
    Local::open(dir, 8, 0.).unwrap()
}

fn opened(shuffle: Option<u64>) -> Box<dyn Task> {
    let wording = Some("official".to_owned());
    open("vstar", &OpenOptions { data: Some(vstar()), shuffle, wording, ..OpenOptions::default() }).unwrap()
}

/// The records by sample and kind of picture, each with the text of the option that was chosen.
fn records(local: &Local, shuffle: Option<u64>) -> BTreeMap<(String, String), (Record, String)> {
    let (task, some) = (opened(shuffle), shapes());
    let images = images(task.as_ref(), foveate_datasets::Split::Test, None, 0, (0, 1)).unwrap();
    let plan = Plan { task: task.as_ref(), images, ..plan(some.as_ref(), 1) };
    let (dir, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let mut store = Store::open(dir.path()).unwrap();
    run(&plan, &Likeliest(local.clone()), &mut store, &stop, &mut |_| ()).unwrap();
    let chosen = |record: Record| {
        let all = 0..task.len(plan.split);
        let samples = all.map(|index| task.sample(plan.split, index).unwrap());
        let sample = samples.into_iter().find(|sample| sample.id == record.sample).unwrap();
        let at = record.parsed.as_ref().unwrap().as_bytes()[0] - b'A';
        ((record.sample.clone(), record.cell()), (record, sample.choices[at as usize].clone()))
    };
    store.finish().unwrap().records.into_iter().map(chosen).collect()
}

#[test]
fn the_likeliest_option_does_not_depend_on_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let local = model(dir.path(), Family::Qwen2_5Vl);
    let plain = records(&local, None);
    assert_eq!(plain.len(), 3 * 3, "clean and corrupted");
    for (record, _) in plain.values() {
        assert_eq!(record.sampling, SAMPLING);
        assert_eq!(record.outcome == Verdict::Right, record.parsed.as_deref() == Some("A"));
        let means = record.turns[0]["mean_logprob"].as_array().unwrap();
        let means: Vec<Vec<f32>> = means.iter().map(|mean| vec![mean.as_f64().unwrap() as f32]).collect();
        let at = record.parsed.as_ref().unwrap().as_bytes()[0] - b'A';
        assert_eq!(likeliest(&means), Some(usize::from(at)));
    }
    for seed in 0..4 {
        let shuffled = records(&local, Some(seed));
        for (place, (before, text)) in &plain {
            let (after, again) = &shuffled[place];
            assert_eq!(text, again, "{place:?}");
            assert_eq!(before.outcome, after.outcome);
        }
    }
}

#[test]
fn a_question_without_options_is_refused() {
    let (dir, out, stop) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let task = shapes();
    let mut store = Store::open(out.path()).unwrap();
    let policy = Likeliest(model(dir.path(), Family::Qwen2_5Vl));
    let error = run(&plan(task.as_ref(), 4), &policy, &mut store, &stop, &mut |_| ()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("choices"), "{error}");
}

/// `options` to one question about a picture.
fn question(local: &Local, options: &[String]) -> Asked<<Local as Policy>::Picture> {
    let picture = image::RgbImage::from_pixel(56, 56, image::Rgb([9, 90, 200]));
    Asked {
        question: Record::default(),
        problem: String::new(),
        choices: options.to_vec(),
        messages: messages("What is it?", 1).unwrap().0,
        pictures: vec![local.prepare(&picture).unwrap().picture],
        cost: 1,
    }
}

#[test]
fn every_token_of_an_option_and_its_end_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let local = model(dir.path(), Family::Qwen3Vl);
    let options = ["red".to_owned(), "a blue car".to_owned()];
    let scored = local.option_logprobs(&question(&local, &options)).unwrap();
    for (option, logp_t) in options.iter().zip(&scored) {
        let ids = local.processor().tokenizer.encode(option).unwrap();
        assert_eq!(logp_t.len(), ids.len() + 1, "{option}");
        assert!(logp_t.iter().all(|logp| *logp < 0.));
    }
    // Alone or beside another: the same numbers.
    let alone = local.option_logprobs(&question(&local, &options[1..])).unwrap();
    assert!(alone[0].iter().zip(&scored[1]).all(|(a, b)| (a - b).abs() < 1e-5));
}
