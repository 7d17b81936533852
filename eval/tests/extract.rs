//! Every extractor against its original (tests/golden/extract/make.py).
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

use foveate_datasets::{Outcome, Sample};
use foveate_eval::extract::{EXTRACTORS, Extractor, Reading, of_task};
use serde_json::{Map, Value, json};

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/extract/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn sample(choices: &[String], answer: &str, meta: Map<String, Value>) -> Sample {
    let (id, problem) = ("1".into(), "?".into());
    Sample { id, problem, answer: answer.into(), choices: choices.to_vec(), images: vec![], meta }
}

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn extractor(task: &str, name: &str) -> &'static Extractor {
    of_task(task).find(|extractor| extractor.name == name).unwrap()
}

/// What the original said, as a [`Reading`].
fn reading(want: &Value) -> Reading {
    match want.as_str() {
        Some("judge") => Reading::Judge,
        None | Some("") => Reading::Nothing,
        Some(text) => Reading::Said(text.into()),
    }
}

fn agree(name: &str, extractor: &Extractor, sample: &Sample, responses: &[String], wants: &Value) {
    let wants = wants.as_array().unwrap();
    assert_eq!(responses.len(), wants.len());
    for (response, want) in responses.iter().zip(wants) {
        let got = (extractor.read)(sample, response);
        assert_eq!(got, reading(want), "{name}: {response:?} with {:?}", sample.choices);
    }
}

#[test]
fn letters_are_those_of_the_originals() {
    let golden = golden();
    let responses = texts(&golden["responses"]);
    assert!(responses.len() >= 300);
    let lists = |key: &str| golden[key].as_array().unwrap().iter().map(texts).collect::<Vec<_>>();
    let (choices, mme) = (lists("choices"), lists("mme_choices"));
    let plain = sample(&choices[0], "C", Map::new());
    agree("V*", extractor("vstar", "lmms-eval"), &plain, &responses, &golden["vstar/lmms-eval"]);
    for (i, options) in choices.iter().enumerate() {
        let sample = sample(options, "A", Map::new());
        let kit = &golden["choice/vlmevalkit"][i];
        agree("VLMEvalKit", extractor("vstar", "vlmevalkit"), &sample, &responses, kit);
        agree("VLMEvalKit", extractor("hr-bench-8k", "vlmevalkit"), &sample, &responses, kit);
        let lmms = &golden["hr-bench/lmms-eval"][i];
        agree("HR-Bench", extractor("hr-bench-4k", "lmms-eval"), &sample, &responses, lmms);
    }
    for (i, options) in mme.iter().enumerate() {
        let bare: Vec<String> = options.iter().map(|option| option[4..].to_owned()).collect();
        let as_written = Map::from_iter([("options".into(), json!(options))]);
        for sample in [sample(&bare, "A", Map::new()), sample(&bare, "A", as_written)] {
            let task = "mme-realworld-lite";
            let official = &golden["mme-realworld/official"][i];
            agree("MME official", extractor(task, "official"), &sample, &responses, official);
            for name in ["lmms-eval", "vlmevalkit"] {
                let want = &golden[format!("mme-realworld/{name}")];
                agree("MME", extractor(task, name), &sample, &responses, want);
            }
        }
    }
}

#[test]
fn mathvista_is_read_and_judged_as_the_originals_do() {
    let golden = golden();
    let responses = texts(&golden["responses"]);
    for (i, question) in golden["vista_questions"].as_array().unwrap().iter().enumerate() {
        let sample = sample(
            &texts(&question["choices"]),
            question["answer"].as_str().unwrap(),
            question.as_object().unwrap().clone(),
        );
        for name in ["official", "official-quick", "lmms-eval", "vlmevalkit"] {
            let extractor = extractor("mathvista", name);
            let wants = golden[format!("mathvista/{name}")][i].as_array().unwrap();
            for (response, want) in responses.iter().zip(wants) {
                let got = extractor.grade(&sample, response);
                let judge = want[0] == "judge";
                let right = want[1].as_bool().unwrap();
                let outcome = match (judge, right) {
                    (true, _) => Outcome::Unparsed,
                    (_, true) => Outcome::Right,
                    _ => Outcome::Wrong,
                };
                assert_eq!(got.outcome, outcome, "{name}: {response:?} to {question}");
                if !judge {
                    assert_eq!(got.parsed.as_deref(), want[0].as_str(), "{name}: {response:?} to {question}");
                }
            }
        }
    }
}

#[test]
fn every_task_names_an_extractor_once() {
    for (i, one) in EXTRACTORS.iter().enumerate() {
        assert!(!one.tasks.is_empty(), "{}", one.name);
        for other in &EXTRACTORS[i + 1..] {
            let shared = one.tasks.iter().any(|task| other.tasks.contains(task));
            assert!(!(shared && one.name == other.name), "{} twice for {:?}", one.name, one.tasks);
        }
        assert!(one.tasks.iter().all(|task| foveate_datasets::TASKS.iter().any(|entry| entry.name == *task)));
    }
}
