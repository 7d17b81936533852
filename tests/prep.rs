//! `foveate prep` as a user meets it: what it writes, what it says, how it ends.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use foveate_datasets::prep::export::samples;
use foveate_datasets::{Sample, Split};
use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use image::RgbImage;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A fresh directory with pictures and rows about them.
struct Place(TempDir);

const ROWS: usize = 8;

fn picture(k: u32) -> RgbImage {
    RgbImage::from_fn(60 + 20 * k, 56, |x, y| image::Rgb([(x * 3) as u8, (y * 4) as u8, (k * 30) as u8]))
}

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let mut rows: Vec<Value> = Vec::new();
        for k in 0..ROWS {
            picture(k as u32).save(place.at(&format!("{k}.png"))).unwrap();
            rows.push(json!({"id": format!("r{k}"), "problem": format!("<image>What is number {k}?"), "answer": k, "images": [format!("{k}.png")]}));
        }
        rows.push(json!({"id": "lost", "problem": "<image>?", "answer": "1", "images": ["gone.png"]}));
        rows.push(json!({"id": "r0", "problem": "again?", "answer": "1", "images": []}));
        place.write("rows.jsonl", &rows);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, rows: &[Value]) {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(self.at(name), text).unwrap();
    }

    fn model(&self) {
        let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
        tiny::write(&self.at("model"), &spec).unwrap();
    }

    fn prep(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.current_dir(self.0.path()).arg("prep").args(words).output().unwrap()
    }

    /// Standard output of a command that must do its work.
    fn done(&self, words: &[&str]) -> String {
        let output = self.prep(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Both streams of a command that must refuse its input.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.prep(words);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    fn report(&self, out: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.at(out).join("import.json")).unwrap()).unwrap()
    }

    fn samples(&self, out: &str) -> Vec<Sample> {
        samples(&self.at(out), Split::Train).unwrap()
    }
}

#[test]
fn an_import_says_where_every_row_went() {
    let place = Place::new();
    let said = place.done(&["import", "rows.jsonl", "--out", "out"]);
    for words in
        ["10 rows as easyr1", "out/data.parquet", "8 rows", "2 rows: 1 broken, 1 duplicate", "gone.png"]
    {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
    let report = place.report("out");
    assert_eq!((&report["rows_in"], &report["rows_out"]), (&json!(10), &json!(8)));
    assert_eq!(fs::read_to_string(place.at("out/rejects.jsonl")).unwrap().lines().count(), 2);
    let found = place.samples("out");
    assert_eq!(found.len(), ROWS);
    assert_eq!(found[3].images[0].decode().unwrap().as_ref(), &picture(3));
    assert_eq!(place.done(&["import", "rows.jsonl", "--out", "out"]), said, "again finds what is there");
    let said = place.refused(&["import", "rows.jsonl", "--needs-image", "--out", "out"]);
    assert!(said.contains("other options"), "{said}");
}

/// Rows in plenty about a few pictures, some of them broken, as the source of an import that takes a while.
fn many(place: &Place, rows: usize) {
    let row = |i: usize| {
        let answer = if i % 97 == 5 { json!(null) } else { json!(i) };
        let id = if i % 500 == 499 { 1 } else { i };
        let images = if i.is_multiple_of(3) { vec![format!("{}.png", i % ROWS)] } else { vec![] };
        json!({"id": format!("m{id}"), "problem": format!("Row {i}?"), "answer": answer, "images": images})
    };
    place.write("many.jsonl", &(0..rows).map(row).collect::<Vec<_>>());
}

/// Everything in a folder, by name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap_or_default())
    };
    let mut all: Vec<_> = fs::read_dir(folder).unwrap().map(read).collect();
    all.sort();
    all
}

/// `kill -9` at moments that no one chose, each time the test runs others, until five of them hit.
#[test]
fn an_import_killed_at_random_moments_and_run_again_ends_in_the_same_files() {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
    let place = Place::new();
    many(&place, 10_000);
    let words = |out: &'static str| {
        ["import", "many.jsonl", "--validation", "0.1", "--degrade", "contrast", "--out", out]
    };
    let clock = Instant::now();
    let said = place.done(&words("whole"));
    let (whole, mut noise) =
        (clock.elapsed(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos() as usize);
    let (mut kills, mut moments) = (0, vec![]);
    while kills < 5 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = whole.mul_f64((noise >> 33) as f64 / (1u64 << 31) as f64 * 0.6);
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.current_dir(place.0.path()).arg("prep").args(words("again"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(life.max(Duration::from_millis(5)));
        // SIGKILL: nothing of the program runs after it.
        child.kill().unwrap();
        moments.push(life);
        if child.wait().unwrap().success() {
            // It was done before the kill came: once more from the start.
            fs::remove_dir_all(place.at("again")).unwrap();
            continue;
        }
        kills += 1;
    }
    assert_eq!(place.done(&words("again")).replace("again", "whole"), said);
    let (a, b) = (contents(&place.at("whole")), contents(&place.at("again")));
    let names = |all: &[(String, Vec<u8>)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), ["data.parquet", "import.json", "rejects.jsonl", "validation.parquet"]);
    assert_eq!(names(&a), names(&b), "after kills at {moments:?} of {whole:?}");
    for ((name, a), (_, b)) in a.iter().zip(&b) {
        assert!(a == b, "{name} differs after kills at {moments:?} of {whole:?}");
    }
}

#[test]
fn an_import_without_a_single_row_fails() {
    let place = Place::new();
    let said = place.refused(&["import", "rows.jsonl", "--max-pixels", "10", "--out", "out"]);
    assert!(said.contains("not one row") && said.contains("pixels 3360 is above 10"), "{said}");
}

#[test]
fn validation_names_the_rows_and_writes_nothing() {
    let place = Place::new();
    let before = fs::read_dir(place.0.path()).unwrap().count();
    let said = place.refused(&["validate", "rows.jsonl"]);
    for words in
        ["rows.jsonl, row 8", "gone.png", "row 9 (id r0): id `r0` was seen before, in row 0", "2 of 10 rows"]
    {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
    let output = place.prep(&["validate", "rows.jsonl", "--json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let kinds: Vec<Value> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds, ["broken", "duplicate"]);
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), before);
    place.done(&["import", "rows.jsonl", "--out", "out"]);
    assert_eq!(place.done(&["validate", "out"]), "");
}

/// Tokens of a prompt by the command that builds it whole.
fn counted(place: &Place, k: usize) -> usize {
    let image = json!({"type": "image", "image": format!("{k}.png")});
    let text = json!({"type": "text", "text": format!("What is number {k}?")});
    place.write(
        "one.jsonl",
        &[json!({"id": k, "messages": [{"role": "user", "content": [image, text]}], "completion": "yes"})],
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    let words = ["score", "--model", "model", "one.jsonl", "--out", "one.out"];
    assert!(command.current_dir(place.0.path()).args(words).output().unwrap().status.success());
    let row: Value = serde_json::from_str(&fs::read_to_string(place.at("one.out")).unwrap()).unwrap();
    row["prompt_ids"].as_array().unwrap().len()
}

#[test]
fn tokens_are_those_of_the_prompt_that_a_model_gets() {
    let place = Place::new();
    place.model();
    let tokens: Vec<usize> = (0..ROWS).map(|k| counted(&place, k)).collect();
    assert!(tokens[7] > tokens[0], "{tokens:?}");
    place.done(&["import", "rows.jsonl", "--out", "out"]);
    let stats: Value =
        serde_json::from_str(&place.done(&["stats", "out", "--model", "model", "--json"])).unwrap();
    let spread = &stats["prompt_tokens"];
    assert_eq!(spread["count"], ROWS);
    assert_eq!((&spread["min"], &spread["max"]), (&json!(tokens[0]), &json!(tokens[7])));
    assert_eq!(stats["image_tokens"]["count"], ROWS);
    let most = tokens[4].to_string();
    let words = ["import", "rows.jsonl", "--model", "model", "--max-tokens", &most, "--out", "short"];
    place.done(&words);
    let fit = tokens.iter().filter(|&&n| n <= tokens[4]).count();
    assert_eq!(place.samples("short").len(), fit);
    let rejects = fs::read_to_string(place.at("short/rejects.jsonl")).unwrap();
    assert!(rejects.contains(&format!("tokens {} is above {most}", tokens[7])), "{rejects}");
}

#[test]
fn degraded_pairs_stand_in_one_group() {
    let place = Place::new();
    let words = ["import", "rows.jsonl", "--degrade", "gaussian_noise@4", "--degrade", "block_mask"];
    let said = place.done(&[&words[..], &["--severity", "2", "--out", "one"]].concat());
    assert!(said.contains("24 rows, 16 of them made"), "{said}");
    let found = place.samples("one");
    let ids: Vec<_> = found[3..6].iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["r1", "r1~gaussian_noise@4", "r1~block_mask@2"]);
    for (sample, damaged) in found[3..6].iter().zip([false, true, true]) {
        assert_eq!((&sample.meta["group_id"], &sample.meta["is_degraded"]), (&json!("r1"), &json!(damaged)));
        assert_eq!((sample.answer.as_str(), sample.images.len()), ("1", 1));
        let image = sample.images[0].decode().unwrap();
        assert_eq!(image.dimensions(), (80, 56));
        assert_eq!(*image != picture(1), damaged);
    }
    assert_eq!(found[4].meta["original_images"], json!(["1.png"]));
    let report = place.report("one");
    assert_eq!((&report["rows_made"], &report["rows_out"]), (&json!(16), &json!(24)));
    // Whatever else is read, the same damage; another seed, another.
    place.done(&[&words[..], &["--severity", "2", "--shard", "1/2", "--out", "half"]].concat());
    let noisy = |out: &str| {
        place.samples(out).iter().find(|s| s.id == "r1~gaussian_noise@4").unwrap().images[0].decode().unwrap()
    };
    assert_eq!(noisy("half"), noisy("one"));
    place.done(&[&words[..], &["--severity", "2", "--seed", "1", "--out", "seeded"]].concat());
    assert_ne!(noisy("seeded"), noisy("one"));
}

#[test]
fn sheets_are_drawn_of_data_and_of_tasks() {
    let place = Place::new();
    let size = |name: &str| image::image_dimensions(place.at(name)).unwrap();
    place.done(&["sheet", "rows.jsonl", "--count", "4", "--out", "four.png"]);
    assert_eq!(size("four.png").0, 8 + 4 * 192);
    place.done(&[
        "sheet",
        "rows.jsonl",
        "--view",
        "block_mask@3",
        "--count",
        "3",
        "--side",
        "64",
        "--out",
        "views.png",
    ]);
    assert_eq!(size("views.png").0, 8 + 2 * 72);
    place.done(&["sheet", "--task", "digits", "--count", "6", "--columns", "3", "--out", "task.png"]);
    assert_eq!(size("task.png").0, 8 + 3 * 192);
    place.done(&["sheet", "rows.jsonl", "--count", "4", "--out", "again.png"]);
    assert_eq!(fs::read(place.at("again.png")).unwrap(), fs::read(place.at("four.png")).unwrap());
    place.done(&["sheet", "rows.jsonl", "--count", "4", "--seed", "9", "--out", "other.png"]);
    assert_ne!(fs::read(place.at("other.png")).unwrap(), fs::read(place.at("four.png")).unwrap());
}

#[test]
fn what_is_exported_imports_again_to_the_same_bytes() {
    let place = Place::new();
    place.done(&["import", "rows.jsonl", "--out", "out"]);
    for layout in ["jsonl", "webdataset"] {
        let said = place.done(&["export", "out", "--to", layout, "--per-shard", "3", "--out", layout]);
        assert!(said.contains("8 rows"), "{said}");
        let again = format!("again-{layout}");
        place.done(&["import", layout, "--out", &again]);
        let bytes = |folder: &str| fs::read(place.at(folder).join("data.parquet")).unwrap();
        assert!(bytes(&again) == bytes("out"), "{layout}");
    }
    assert!(place.at("webdataset/shard-000002.tar").exists());
    assert!(place.refused(&["export", "jsonl", "--to", "jsonl", "--out", "x"]).contains("data.parquet"));
}

#[test]
fn stats_are_text_or_a_page() {
    let place = Place::new();
    let said = place.done(&["stats", "rows.jsonl", "--html", "stats.html"]);
    for words in ["8 rows, 2 broken rows", "from 60 to 200", "8 different ones"] {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
    let page = fs::read_to_string(place.at("stats.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"), "{page}");
    assert!(!page.contains("http"), "nothing is loaded from elsewhere");
}

#[test]
fn columns_under_other_names_are_mapped() {
    let place = Place::new();
    fs::write(place.at("rows.csv"), "q,label,file\nWhat?,yes,0.png\n").unwrap();
    let said = place.refused(&["import", "rows.csv", "--out", "out"]);
    assert!(said.contains("q, label, file"), "{said}");
    place.done(&["import", "rows.csv", "--map", "problem=q,answer=label,images=file", "--out", "out"]);
    assert_eq!(place.samples("out")[0].answer, "yes");
}

#[test]
fn options_that_cannot_be_meant_are_refused() {
    let place = Place::new();
    let import = |words: &[&'static str]| {
        place.refused(&[&["import", "rows.jsonl", "--out", "out"][..], words].concat())
    };
    assert!(import(&["--shard", "4/4"]).contains("I from 0 to N - 1"));
    assert!(import(&["--map", "problem"]).contains("OURS=THEIRS"));
    assert!(import(&["--format", "easyr2"]).contains("easyr1"));
    assert!(import(&["--language", "xx"]).contains("`xx`"));
    assert!(import(&["--max-tokens", "5"]).contains("--model"));
    assert!(import(&["--validation", "1.5"]).contains("1.5"));
    assert!(import(&["--degrade", "blurr"]).contains("blurr"));
    assert!(import(&["--max-aspect", "0.5"]).contains("at least 1"));
    assert!(import(&["--min-pixels", "9", "--max-pixels", "4"]).contains("at least 9 and at most 4"));
    assert!(place.refused(&["sheet", "--out", "x.png"]).contains("SRC"));
    assert!(place.refused(&["stats", "none.jsonl"]).contains("none.jsonl"));
    assert!(!Path::new(&place.at("out/data.parquet")).exists());
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    for command in ["import", "validate", "stats", "sheet", "export"] {
        assert!(place.done(&[command, "--help"]).contains(&format!("foveate prep {command}")));
    }
}
