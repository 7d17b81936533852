//! Every format against a fixture made by the tool that people use (tests/golden/datasets/make.py), and round trips.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::prep::export::{Layout, export, samples};
use foveate_datasets::{Sample, Split};
use serde_json::Value;
use std::path::Path;
use support::{essence, golden, image_bytes, options, rejects, run};

fn expected() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(golden().join("expect.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap().as_object().unwrap().clone()
}

/// Formats whose columns have no names must be said.
fn format_of(name: &str) -> &'static str {
    match name {
        "csiq.txt" => "csiq",
        "pipal.txt" => "pipal",
        _ => "auto",
    }
}

fn imported(name: &str, out: &Path) -> Vec<Sample> {
    let mut options = options(&golden().join(name), format_of(name), out);
    if name == "mapped.parquet" {
        let map = [("id", "uid"), ("problem", "q"), ("answer", "a"), ("images", "img")];
        options.spec.rename = map.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
    }
    let report = run(&options);
    assert!(rejects(out).is_empty(), "{name}: {:?}", rejects(out));
    assert_eq!(report.rows_in, report.rows_out, "{name}");
    samples(out).unwrap()
}

#[test]
fn every_fixture_is_read_as_it_was_made() {
    let expected = expected();
    assert!(expected.len() >= 20);
    for (name, want) in &expected {
        let dir = tempfile::tempdir().unwrap();
        let found = imported(name, dir.path());
        let want = want["rows"].as_array().unwrap();
        assert_eq!(found.len(), want.len(), "{name}");
        for (sample, row) in found.iter().zip(want) {
            let text = |key: &str| row[key].as_str().unwrap();
            assert_eq!(sample.id, text("id"), "{name}");
            assert_eq!(sample.problem, text("problem"), "{name}");
            assert_eq!(sample.answer, text("answer"), "{name}");
            let choices: Vec<String> = serde_json::from_value(row["choices"].clone()).unwrap_or_default();
            assert_eq!(sample.choices, choices, "{name}");
            let images: Vec<Vec<u8>> = row["images"]
                .as_array()
                .unwrap()
                .iter()
                .map(|n| std::fs::read(golden().join("images").join(n.as_str().unwrap())).unwrap())
                .collect();
            assert!(image_bytes(sample) == images, "{name}, {}: images differ", sample.id);
        }
    }
}

#[test]
fn import_export_import_is_identical() {
    for name in ["easyr1.parquet", "mme.json", "verl.parquet", "shard-000000.tar", "koniq.csv"] {
        let dir = tempfile::tempdir().unwrap();
        let at = |part: &str| dir.path().join(part);
        let first: Vec<_> = imported(name, &at("one")).iter().map(essence).collect();
        export(&at("one"), Layout::Jsonl, &at("jsonl")).unwrap();
        export(&at("one"), Layout::WebDataset(2), &at("shards")).unwrap();
        for source in ["one/data.parquet", "jsonl", "shards"] {
            let out = at(&format!("again-{}", source.replace('/', "-")));
            let report = run(&options(&at(source), "auto", &out));
            assert_eq!(report.format, "foveate", "{name} by {source}");
            let again: Vec<_> = samples(&out).unwrap().iter().map(essence).collect();
            assert_eq!(again, first, "{name} by {source}");
        }
        let again = std::fs::read(at("again-one-data.parquet").join("data.parquet")).unwrap();
        assert!(again == std::fs::read(at("one/data.parquet")).unwrap(), "{name}");
    }
}

#[test]
fn metadata_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rows = imported("koniq.csv", dir.path());
    assert_eq!(rows[1].meta["SD"], "0.6");
    assert_eq!(rows[1].meta["set"], "test");
    assert_eq!(rows[1].meta["score"], 50.5);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(imported("swift.jsonl", dir.path())[0].meta["system"], "Look.");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(imported("virl39k.parquet", dir.path())[1].meta["PassRate_7BBase"], 0.25);
}

#[test]
fn shards_part_the_rows_and_their_union_is_all() {
    let mut all = Vec::new();
    for i in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(&golden().join("easyr1.jsonl"), "auto", dir.path());
        options.shard = (i, 2);
        let report = run(&options);
        assert_eq!((report.rows_in, report.rows_out), (3, 2 - i));
        all.extend(samples(dir.path()).unwrap().iter().map(|s| s.id.clone()));
    }
    all.sort();
    assert_eq!(all, ["q-0", "q-1", "q-2"]);
}

#[test]
fn filters_reject_by_name_and_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&golden().join("easyr1.parquet"), "auto", dir.path());
    options.filter.needs_image = true;
    options.filter.max_aspect = Some(2.0);
    let report = run(&options);
    assert_eq!((report.rows_out, report.rejected["filtered"]), (1, 2));
    let reasons: Vec<_> = rejects(dir.path()).into_iter().map(|r| r.reason).collect();
    assert!(reasons[0].contains("aspect ratio 3.3") && reasons[1].contains("no image"), "{reasons:?}");
}

#[test]
fn a_large_image_is_scaled_to_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&golden().join("easyr1.parquet"), "auto", dir.path());
    options.shrink_to = Some(200);
    run(&options);
    let rows = samples(dir.path()).unwrap();
    assert_eq!(rows[1].images[0].dimensions().unwrap(), (14, 14));
    assert_eq!(rows[1].meta["resized_from_0"], serde_json::json!([20, 20]));
    assert_eq!(rows[0].images[0].dimensions().unwrap(), (16, 12));
}

#[test]
fn an_import_is_a_task_and_so_is_a_foreign_file() {
    use foveate_datasets::{DataOptions, Outcome, open_data};
    let dir = tempfile::tempdir().unwrap();
    imported("easyr1.parquet", dir.path());
    let folder = dir.path().to_str().unwrap().to_owned();
    let foreign = golden().join("easyr1.parquet").to_str().unwrap().to_owned();
    for source in [folder, foreign] {
        let task = open_data(&DataOptions { train: Some(source), ..DataOptions::default() }).unwrap();
        assert_eq!((task.len(Split::Train), task.len(Split::Test)), (3, 0));
        let sample = task.sample(Split::Train, 0).unwrap();
        assert_eq!(sample.images[0].decode().unwrap().dimensions(), (16, 12));
        assert_eq!(task.grade(&sample, "so \\boxed{6/2}").outcome, Outcome::Right);
        assert_eq!(task.grade(&sample, "\\boxed{4}").outcome, Outcome::Wrong);
    }
}
