//! `foveate grade` as its user meets it: responses in, scores out, exit codes, messages.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

fn benchmark(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/benchmarks").join(name).display().to_string()
}

struct Place(TempDir);

impl Place {
    fn new(responses: &[Value]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(responses);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, responses: &[Value]) {
        let text: String = responses.iter().map(|row| format!("{row}\n")).collect();
        fs::write(self.at("responses.jsonl"), text).unwrap();
    }

    fn grade(&self, task: &str, data: &str, more: &[&str]) -> Output {
        let words =
            ["grade", "--task", task, "--data", data, "--responses", "responses.jsonl", "--out", "out"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.current_dir(self.0.path()).args(words).args(more).output().unwrap()
    }

    fn done(&self, task: &str, data: &str, more: &[&str]) -> String {
        let output = self.grade(task, data, more);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{task}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, task: &str, data: &str, more: &[&str]) -> String {
        let output = self.grade(task, data, more);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{task}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// The page about `out`.
    fn report(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        let output =
            command.current_dir(self.0.path()).args(["report", "out", "--out", "page.html"]).output();
        assert_eq!(output.unwrap().status.code(), Some(0));
        fs::read_to_string(self.at("page.html")).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.at(name)).unwrap()).unwrap()
    }

    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.at("out/records.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn said(id: impl Into<Value>, response: &str) -> Value {
    json!({"id": id.into(), "response": response})
}

fn failed(id: impl Into<Value>) -> Value {
    json!({"id": id.into(), "response": null, "error": "time-out"})
}

#[test]
fn a_failed_call_is_not_wrong_and_extractors_disagree() {
    let responses = [
        said("direct_attributes/sa_11", "Based on the image, the answer is A."),
        said("direct_attributes/sa_12", "I cannot tell."),
        failed("relative_position/sa_13"),
    ];
    let place = Place::new(&responses);
    let told = place.done("vstar", &benchmark("vstar_folder"), &[]);
    assert!(told.contains("1 right, 0 wrong, 1 unparsed, 1 failed") && told.contains("50.00 %"), "{told}");
    assert!(told.contains("always A") && told.contains("incomplete"), "{told}");
    let run = place.json("out/summary.json")["runs"][0].clone();
    assert_eq!(run["counts"], json!({"right": 1, "wrong": 0, "unparsed": 1, "failed": 1}));
    assert_eq!(run["complete"], false);
    assert_eq!(run["cells"][0]["metrics"]["accuracy"], 0.5);
    let outcomes: Vec<_> = place.records().iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["right", "unparsed", "failed"]);
    assert_eq!(place.records()[2]["error"], "time-out");
    let others = place.json("out/extractors.json");
    let lmms = others.as_array().unwrap().iter().find(|other| other["extractor"] == "lmms-eval").unwrap();
    // "Based" is B there, and "I cannot tell." has one letter, C.
    assert_eq!(lmms["counts"], json!({"right": 0, "wrong": 2, "unparsed": 0, "failed": 1}));
    assert_eq!((&lmms["disagreement"], &lmms["only"]), (&json!(0.5), &json!([1, 0])));
    assert_eq!(lmms["examples"][0]["read"], json!(["A", "B"]));
    assert!(others.as_array().unwrap().iter().all(|other| other["task"] == "vstar"));
    // The report says how the readings part, and on what.
    let page = place.report();
    for word in
        ["As other programs read it", "<td>lmms-eval</td><td>vstar</td>", "1 of 2", "Based on the image"]
    {
        assert!(page.contains(word), "{word}");
    }
    let plain = fs::read_to_string(place.at("page.md")).unwrap();
    assert!(plain.contains("| vstar | responses | lmms-eval | 0.0 % | 50.0 % | 1 of 2 |"), "{plain}");
    // Again: the same files; and nothing but these responses may be overwritten.
    let first = fs::read(place.at("out/summary.json")).unwrap();
    place.done("vstar", &benchmark("vstar_folder"), &[]);
    assert_eq!(fs::read(place.at("out/summary.json")).unwrap(), first);
    place.write(&responses[..1]);
    let said = place.refused("vstar", &benchmark("vstar_folder"), &[]);
    assert!(said.contains("records.jsonl") && said.contains("--out"), "{said}");
}

#[test]
fn other_names_of_a_question_and_missing_lines() {
    let place = Place::new(&[said("sa_11", "A"), said("direct_attributes/sa_12.jpg", "B")]);
    place.done("vstar", &benchmark("vstar_folder"), &[]);
    let outcomes: Vec<_> = place.records().iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["right", "wrong", "failed"]);
}

#[test]
fn options_that_were_shuffled_are_graded_in_their_order() {
    let place = Place::new(&[]);
    fs::write(place.at("responses.jsonl"), "").unwrap();
    place.done("vstar", &benchmark("vstar_folder"), &["--shuffle", "3"]);
    let asked = place.records();
    assert!(asked.iter().any(|record| record["answer"] != "A"), "{asked:?}");
    let right: Vec<Value> = asked
        .iter()
        .map(|record| said(record["sample"].clone(), record["answer"].as_str().unwrap()))
        .collect();
    place.write(&right);
    fs::remove_dir_all(place.at("out")).unwrap();
    place.done("vstar", &benchmark("vstar_folder"), &["--shuffle", "3"]);
    assert!(place.records().iter().all(|record| record["outcome"] == "right"));
    let prompt = place.records()[0]["prompt"].as_str().unwrap().to_owned();
    let order = place.records()[0]["order"].clone();
    assert!(prompt.contains("\nA. ") && order.as_array().unwrap().len() == 4, "{prompt} {order}");
}

#[test]
fn benchmarks_state_what_their_scripts_state() {
    let mme = ["Perception/Monitoring/0", "Reasoning/OCR with Complex Context/1", "Perception/Monitoring/2"];
    let place = Place::new(&[said(mme[0], "(B) blue"), said(mme[1], "The answer is E"), said(mme[2], "A")]);
    place.done("mme-realworld", &benchmark("mme_json"), &[]);
    let summary = place.json("out/summary.json");
    let scores = summary["runs"][0]["scores"].as_array().unwrap().clone();
    let score =
        |name: &str| scores.iter().find(|score| score["name"] == name).unwrap()["value"].as_f64().unwrap();
    assert!((score("Overall") - 2. / 3.).abs() < 1e-12);
    assert!((score("Perception/Avg") - 0.5).abs() < 1e-12 && (score("Reasoning/Avg-C") - 1.).abs() < 1e-12);
    assert!((score("Perception/Monitoring/vehicle/attribute") - 1.).abs() < 1e-12);
    assert!((score("E-rate") - 1. / 3.).abs() < 1e-12);

    let place = Place::new(&(0..8).map(|n| said(n, if n < 4 { "A" } else { "D" })).collect::<Vec<_>>());
    place.done("hr-bench-4k", &benchmark("hr_bench"), &[]);
    let scores = place.json("out/summary.json")["runs"][0]["scores"].clone();
    let average = scores.as_array().unwrap().iter().find(|s| s["name"] == "all/average").unwrap().clone();
    // Right answers: A, D, C, B in turn.
    assert_eq!(average["value"], 0.25);
}

#[test]
fn quality_sets_get_correlations() {
    let place = Place::new(&[]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datasets");
    fs::create_dir(place.at("koniq")).unwrap();
    let mut table = "image_name,MOS\n".to_owned();
    let mut responses = Vec::new();
    for n in 0..6 {
        fs::copy(golden.join("images/a.png"), place.at(&format!("koniq/{n}.png"))).unwrap();
        table += &format!("{n}.png,{}\n", 10 + 15 * n);
        responses
            .push(said(n, &format!("<think>hm</think><answer>{:.2}</answer>", 1.5 + 0.5 * f64::from(n))));
    }
    fs::write(place.at("koniq/koniq.csv"), table).unwrap();
    place.write(&responses);
    let data = place.at("koniq/koniq.csv").display().to_string();
    let told = place.done("data", &data, &["--format", "koniq"]);
    assert!(told.contains("PLCC 1.0000, SRCC 1.0000 over 6 pictures"), "{told}");
}

#[test]
fn bad_input_is_named() {
    let data = benchmark("vstar_folder");
    let good = said("direct_attributes/sa_11", "A");
    for (text, words) in [
        (format!("{good}\nnonsense\n"), ["responses.jsonl:2", "expected"]),
        (format!("{good}\n{good}\n"), ["responses.jsonl:2", "once"]),
        (format!("{}\n", said("nobody", "A")), ["responses.jsonl:1", "`nobody`"]),
        (format!("{good}\n{}\n", said("direct_attributes/sa_11.jpg", "A")), ["responses.jsonl", "same one"]),
        (
            format!("{}\n", json!({"id": "direct_attributes/sa_11", "response": 3})),
            ["responses.jsonl:1", "3"],
        ),
    ] {
        let place = Place::new(&[]);
        fs::write(place.at("responses.jsonl"), text).unwrap();
        let refused = place.refused("vstar", &data, &[]);
        assert!(words.iter().all(|word| refused.contains(word)), "{words:?} in {refused}");
        assert!(!place.at("out").exists());
    }
    let place = Place::new(std::slice::from_ref(&good));
    assert!(place.refused("chess", &data, &[]).contains("vstar"));
    assert!(place.refused("vstar", "nowhere", &[]).contains("nowhere"));
    fs::write(place.at("base.json"), "{\"runs\": [], \"comparisons\": []}").unwrap();
    let refused = place.refused("vstar", &data, &["--baseline-summary", "base.json"]);
    assert!(refused.contains("base.json") && refused.contains("vstar 1"), "{refused}");
}
