//! A folder in which the command is run, as a user does.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)] // helpers of tests are tests; not every test needs all

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A fresh directory with a model, a picture and nothing else.
pub struct Place(pub TempDir);

impl Place {
    pub fn new(family: Family) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(family) };
        tiny::write(&place.at("model"), &spec).unwrap();
        place.draw_cat();
        place
    }

    /// Without a model: what it would be is an empty folder.
    pub fn empty() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.at("model")).unwrap();
        place.draw_cat();
        place
    }

    fn draw_cat(&self) {
        image::RgbImage::from_fn(70, 56, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 90]))
            .save(self.at("cat.png"))
            .unwrap();
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, rows: &[Value]) {
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(self.at(name), text).unwrap();
    }

    pub fn rows(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn foveate(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.current_dir(self.0.path()).args(words).output().unwrap()
    }

    /// Runs a command that must do its work.
    pub fn done(&self, words: &[&str]) -> String {
        let output = self.foveate(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must refuse its input, and says what it said.
    pub fn refused(&self, words: &[&str]) -> String {
        let output = self.foveate(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

pub fn question(id: impl Into<Value>, text: &str) -> Value {
    let image = json!({"type": "image", "image": "cat.png"});
    let content = json!([image, {"type": "text", "text": text}]);
    json!({"id": id.into(), "messages": [{"role": "user", "content": content}]})
}

pub fn answered(id: impl Into<Value>, text: &str, completion: &str) -> Value {
    let mut row = question(id, text);
    row["completion"] = completion.into();
    row
}

pub const SCORE: [&str; 6] = ["score", "--model", "model", "in.jsonl", "--out", "out.jsonl"];
pub const GENERATE: [&str; 6] = ["generate", "--model", "model", "in.jsonl", "--out", "out.jsonl"];

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

pub fn close(a: &Value, b: &Value) {
    let (a, b) = (numbers(a), numbers(b));
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

/// Scores the texts of `answers` by the command `score` and compares the log-probabilities of the tokens up to the first that its
/// text does not spell again (bytes that are no UTF-8); the number of tokens compared.
pub fn agree(place: &Place, score: &[&str], answers: &[Value]) -> usize {
    let mut rows = Vec::new();
    for (at, answer) in answers.iter().enumerate() {
        let asked = if answer["id"] == "a" { "What is it?" } else { "Where?" };
        let text = answer["completion"].as_str().unwrap();
        rows.push(answered(at, asked, if text.is_empty() { "-" } else { text }));
    }
    place.write("in.jsonl", &rows);
    place.done(score);
    let mut compared = 0;
    for (answer, scored) in answers.iter().zip(place.rows("out.jsonl")) {
        let ids = |row: &Value| row["completion_ids"].as_array().unwrap().clone();
        let (ids, again) = (ids(answer), ids(&scored));
        let same = ids.iter().zip(&again).take_while(|(a, b)| a == b).count();
        let first = |row: &Value| json!(numbers(&row["logprobs"])[..same]);
        close(&first(answer), &first(&scored));
        compared += same;
    }
    compared
}

/// Changes the bytes of a file.
pub fn edit(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(dir.join(name)).unwrap();
    change(&mut bytes);
    fs::write(dir.join(name), bytes).unwrap();
}

/// Makes the last number of a file of f32 one that is none.
pub fn end_in_nan(bytes: &mut [u8]) {
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
}

/// Changes a word of a file that must have it.
pub fn replace(dir: &Path, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    fs::write(dir.join(name), text.replace(from, to)).unwrap();
}
