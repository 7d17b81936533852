//! Every format against a fixture made by the tool that people use (tests/golden/datasets/make.py), and round trips.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::prep::export::{Layout, export, samples};
use foveate_datasets::prep::stats::stats;
use foveate_datasets::prep::{Hooks, Measure, import};
use foveate_datasets::{Sample, Split};
use serde_json::Value;
use std::collections::HashSet;
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
    samples(out, Split::Train).unwrap()
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
        export(&at("one"), Split::Train, Layout::Jsonl, &at("jsonl")).unwrap();
        export(&at("one"), Split::Train, Layout::WebDataset(2), &at("shards")).unwrap();
        for source in ["one/data.parquet", "jsonl", "shards"] {
            let out = at(&format!("again-{}", source.replace('/', "-")));
            let report = run(&options(&at(source), "auto", &out));
            assert_eq!(report.format, "foveate", "{name} by {source}");
            let again: Vec<_> = samples(&out, Split::Train).unwrap().iter().map(essence).collect();
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
        all.extend(samples(dir.path(), Split::Train).unwrap().iter().map(|s| s.id.clone()));
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
fn a_folder_a_row_is_read_by_its_split_and_keeps_its_letter() {
    let dir = tempfile::tempdir().unwrap();
    let folders = golden().join("geometry3k_folders");
    let rows = imported("geometry3k_folders@train", &dir.path().join("out"));
    let meta = &rows[0].meta;
    assert_eq!(
        (&meta["ground_truth"], &meta["options"][2], &meta["data_type"]),
        (&"C".into(), &rows[0].answer.clone().into(), &"train".into())
    );
    assert!(meta.keys().all(|key| !key.ends_with(".png")), "{meta:?}");
    assert_eq!(
        run(&options(&folders.join("train"), "auto", &dir.path().join("other"))).format,
        "geometry3k-folders"
    );
    let error = import(&options(&folders, "auto", &dir.path().join("no")), Hooks::default()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("@train"), "{error}");
    // A letter that no option has, and a folder without its file.
    let broken = dir.path().join("rows/7");
    std::fs::create_dir_all(&broken).unwrap();
    let data = std::fs::read_to_string(folders.join("train/2/data.json")).unwrap();
    std::fs::write(broken.join("data.json"), data.replace("\"C\"", "\"E\"")).unwrap();
    std::fs::write(broken.join("img_diagram.png"), "").unwrap();
    std::fs::create_dir_all(dir.path().join("rows/8")).unwrap();
    let report = run(&options(&dir.path().join("rows"), "geometry3k-folders", &dir.path().join("rejects")));
    assert_eq!((report.rows_in, report.rows_out), (2, 0));
    let reasons: Vec<String> =
        rejects(&dir.path().join("rejects")).into_iter().map(|reject| reject.reason).collect();
    assert!(
        reasons[0].contains("names none of 4 options") && reasons[1].contains("data.json"),
        "{reasons:?}"
    );
}

#[test]
fn geometry3k_is_asked_without_its_options() {
    let dir = tempfile::tempdir().unwrap();
    let rows = imported("geometry3k.parquet", dir.path());
    assert_eq!(rows[0].meta["options"], serde_json::json!(["1", "2", "3", "4"]));
    assert_eq!((&rows[0].meta["ground_truth"], rows[0].prompt().as_str()), (&"C".into(), "<image>Find x."));
    // Where the answer is given as a letter, it is the option's text all the same.
    let lines = r#"{"id": "x", "problem": "?", "answer": "B", "choices": ["7", "8"], "ground_truth": "B"}"#;
    std::fs::write(dir.path().join("rows.jsonl"), lines).unwrap();
    let out = dir.path().join("letters");
    assert_eq!(run(&options(&dir.path().join("rows.jsonl"), "auto", &out)).format, "geometry3k");
    assert_eq!(samples(&out, Split::Train).unwrap()[0].answer, "8");
}

/// One token a character and one a pixel.
struct Letters;

impl Measure for Letters {
    fn prompt(&self, sample: &Sample) -> foveate_datasets::Result<usize> {
        Ok(sample.prompt().chars().count())
    }

    fn image(&self, width: u32, height: u32) -> foveate_datasets::Result<usize> {
        Ok((width * height) as usize)
    }
}

#[test]
fn tokens_are_counted_by_whom_the_caller_brings() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&golden().join("easyr1.jsonl"), "auto", dir.path());
    options.filter.max_tokens = Some(30);
    let error = import(&options, Hooks::default()).unwrap_err().to_string();
    assert!(error.contains("tokenizer"), "{error}");
    let hooks = Hooks { measure: Some(&Letters), ..Hooks::default() };
    let report = import(&options, hooks).unwrap();
    assert_eq!((report.rows_out, report.rejected["filtered"]), (2, 1));
    assert!(rejects(dir.path())[0].reason.contains("tokens 47 is above 30"), "{:?}", rejects(dir.path()));
    let found = stats(&options.spec, hooks).unwrap();
    assert_eq!((found.prompt_tokens.quantile(0.), found.prompt_tokens.quantile(1.)), (18, 47));
    assert_eq!((found.image_tokens.quantile(0.), found.image_tokens.quantile(1.)), (16 * 12, 20 * 20));
    assert_eq!((found.rows, found.broken, found.distinct_answers), (3, 0, 3));
}

#[test]
fn a_question_in_another_language_is_filtered() {
    let dir = tempfile::tempdir().unwrap();
    let texts = [
        "What colour is the shirt of the man who is standing next to the door of the house?",
        "图片中左边的男人穿着什么颜色的衣服？",
        "x + 1 = ?",
    ];
    let row =
        |(i, text): (usize, &&str)| serde_json::json!({"id": i, "problem": text, "answer": "1"}).to_string();
    let lines: Vec<_> = texts.iter().enumerate().map(row).collect();
    std::fs::write(dir.path().join("rows.jsonl"), lines.join("\n")).unwrap();
    let mut options = options(&dir.path().join("rows.jsonl"), "auto", &dir.path().join("out"));
    options.filter.languages = vec!["en".into()];
    let report = run(&options);
    assert_eq!((report.rows_out, report.rejected["filtered"]), (2, 1));
    let rejects = rejects(&options.out);
    assert!(rejects[0].row == 1 && rejects[0].reason.contains("Mandarin"), "{rejects:?}");
}

#[test]
fn what_a_transform_adds_is_counted_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&golden().join("easyr1.jsonl"), "auto", dir.path());
    options.hooks = vec!["twice".into()];
    let twice = |sample: Sample| {
        let copy = Sample { id: format!("{}~", sample.id), ..sample.clone() };
        Ok(vec![sample, copy])
    };
    let report = import(&options, Hooks { transform: Some(&twice), ..Hooks::default() }).unwrap();
    assert_eq!((report.rows_in, report.rows_made, report.rows_out), (3, 3, 6));
    let ids: Vec<_> = samples(dir.path(), Split::Train).unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(ids, ["q-0", "q-0~", "q-1", "q-1~", "q-2", "q-2~"]);
    options.hooks.clear();
    let error = import(&options, Hooks::default()).unwrap_err().to_string();
    assert!(error.contains("other options"), "{error}");
}

#[test]
fn validation_is_chosen_by_image_and_shares_none() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..400)
        .map(|i| {
            let name = format!("{}.png", i % 100);
            let pixel = image::Rgb([(i % 100) as u8, 0, 0]);
            image::RgbImage::from_pixel(1, 1, pixel).save(dir.path().join(&name)).unwrap();
            serde_json::json!({"id": i, "problem": format!("<image>{i}?"), "answer": "1", "images": [name]})
                .to_string()
        })
        .collect();
    std::fs::write(dir.path().join("rows.jsonl"), rows.join("\n")).unwrap();
    let mut options = options(&dir.path().join("rows.jsonl"), "auto", &dir.path().join("out"));
    options.validation = 0.25;
    let report = run(&options);
    assert!((48..152).contains(&report.rows_validation), "{report:?}");
    let bytes = |split| samples(&options.out, split).unwrap().iter().map(image_bytes).collect::<HashSet<_>>();
    assert!(bytes(Split::Train).is_disjoint(&bytes(Split::Test)));
    assert_eq!(bytes(Split::Train).len() + bytes(Split::Test).len(), 100);
}

#[test]
fn a_large_image_is_scaled_to_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&golden().join("easyr1.parquet"), "auto", dir.path());
    options.shrink_to = Some(200);
    run(&options);
    let rows = samples(dir.path(), Split::Train).unwrap();
    assert_eq!(rows[1].images[0].dimensions().unwrap(), (14, 14));
    assert_eq!(rows[1].meta["resized_from_0"], serde_json::json!([20, 20]));
    assert_eq!(rows[0].images[0].dimensions().unwrap(), (16, 12));
}

#[test]
fn an_import_is_a_task_and_so_is_a_foreign_file() {
    use foveate_datasets::{DataOptions, OpenOptions, Outcome, open, open_data};
    let dir = tempfile::tempdir().unwrap();
    imported("easyr1.parquet", dir.path());
    let folder = dir.path().to_str().unwrap().to_owned();
    let foreign = golden().join("easyr1.parquet").to_str().unwrap().to_owned();
    let named = OpenOptions { data: Some(dir.path().into()), ..OpenOptions::default() };
    assert_eq!(open("data", &named).unwrap().len(Split::Train), 3);
    for source in [folder, foreign] {
        let task = open_data(&DataOptions { train: Some(source), ..DataOptions::default() }).unwrap();
        assert_eq!((task.len(Split::Train), task.len(Split::Test)), (3, 0));
        let sample = task.sample(Split::Train, 0).unwrap();
        assert_eq!(sample.images[0].decode().unwrap().dimensions(), (16, 12));
        assert_eq!(task.grade(&sample, "so \\boxed{6/2}").outcome, Outcome::Right);
        assert_eq!(task.grade(&sample, "\\boxed{4}").outcome, Outcome::Wrong);
    }
}
