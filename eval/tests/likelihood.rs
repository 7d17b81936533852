//! V*'s way of scoring: the likeliest option, whatever the order.
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

use foveate_augment::Scale;
use foveate_datasets::{OpenOptions, Split, open};
use foveate_eval::likelihood::{Likelihood, SAMPLING, by_likelihood};
use foveate_eval::policy::{Local, Policy};
use foveate_eval::sweep::Plan;
use foveate_eval::{Record, Verdict};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use std::path::{Path, PathBuf};

fn vstar() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/benchmarks/vstar_folder")
}

fn records(local: &Local, shuffle: Option<u64>) -> Vec<(Record, String)> {
    let wording = Some("official".to_owned());
    let options = OpenOptions { data: Some(vstar()), shuffle, wording, ..OpenOptions::default() };
    let task = open("vstar", &options).unwrap();
    let (split, scale) = (Split::Test, Scale::Native);
    let plan = Plan { task: task.as_ref(), split, seed: 0, scale, cells: vec![], images: vec![] };
    let one = |index: usize| {
        let sample = task.sample(split, index).unwrap();
        let record = by_likelihood(&plan, local, index, &sample).unwrap();
        let at = record.parsed.as_ref().unwrap().as_bytes()[0] - b'A';
        (record, sample.choices[at as usize].clone())
    };
    (0..task.len(split)).map(one).collect()
}

#[test]
fn the_likeliest_option_does_not_depend_on_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
    tiny::write(dir.path(), &spec).unwrap();
    let local = Local::open(dir.path(), 8, 0.).unwrap();
    let plain = records(&local, None);
    for (record, _) in &plain {
        assert_eq!(record.sampling, SAMPLING);
        assert_eq!(record.key, record.digest());
        assert_eq!(record.outcome == Verdict::Right, record.parsed.as_deref() == Some("A"));
    }
    for seed in 0..4 {
        for ((before, text), (after, again)) in plain.iter().zip(records(&local, Some(seed))) {
            assert_eq!(*text, again, "{}", before.sample);
            assert_eq!(before.outcome, after.outcome);
        }
    }
}

#[test]
fn every_token_of_an_option_and_its_end_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path(), &TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen3Vl) }).unwrap();
    let local = Local::open(dir.path(), 8, 0.).unwrap();
    let picture = image::RgbImage::from_pixel(56, 56, image::Rgb([9, 90, 200]));
    let pictures = [local.prepare(&picture).unwrap().picture];
    let options = ["red".to_owned(), "a blue car".to_owned()];
    let scored = local.option_logprobs("What is it?", &pictures, &options).unwrap();
    for (option, logp_t) in options.iter().zip(&scored) {
        let ids = local.processor().tokenizer.encode(option).unwrap();
        assert_eq!(logp_t.len(), ids.len() + 1, "{option}");
        assert!(logp_t.iter().all(|logp| *logp < 0.));
    }
    // Alone or beside another: the same numbers.
    let alone = local.option_logprobs("What is it?", &pictures, &options[1..]).unwrap();
    assert!(alone[0].iter().zip(&scored[1]).all(|(a, b)| (a - b).abs() < 1e-5));
}
