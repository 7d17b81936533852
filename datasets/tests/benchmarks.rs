//! The benchmarks in their published layouts (tests/golden/benchmarks/make.py), asked in the words of the harnesses
//! (tests/golden/extract/make.py).
#![allow(clippy::unwrap_used, clippy::panic)] // tests may panic, also in their helpers

use foveate_datasets::{OpenOptions, Outcome, Sample, Split, Task, open};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(golden(name)).unwrap()).unwrap()
}

fn opened(task: &str, data: &Path, options: OpenOptions) -> Result<Box<dyn Task>, foveate_datasets::Error> {
    open(task, &OpenOptions { data: Some(data.to_path_buf()), ..options })
}

/// Every layout with its task and its rows.
fn layouts() -> Vec<(Box<dyn Task>, Vec<Value>)> {
    let expect = json("benchmarks/expect.json");
    let all = expect.as_object().unwrap().iter().map(|(name, want)| {
        let folder = golden("benchmarks").join(want["folder"].as_str().unwrap_or(name));
        let task = opened(want["task"].as_str().unwrap(), &folder, OpenOptions::default());
        (task.unwrap_or_else(|e| panic!("{name}: {e}")), want["rows"].as_array().unwrap().clone())
    });
    all.collect()
}

fn samples(task: &dyn Task) -> Vec<Sample> {
    (0..task.len(Split::Test)).map(|i| task.sample(Split::Test, i).unwrap()).collect()
}

#[test]
fn every_layout_is_read_as_it_was_made() {
    for (task, rows) in layouts() {
        let found = samples(task.as_ref());
        assert_eq!(found.len(), rows.len(), "{task:?}");
        assert!(task.is_empty(Split::Train) && task.sample(Split::Test, rows.len()).is_err());
        for (sample, row) in found.iter().zip(&rows) {
            for (key, want) in row.as_object().unwrap() {
                let got = match key.as_str() {
                    "id" => sample.id.clone().into(),
                    "problem" => sample.problem.clone().into(),
                    "answer" => sample.answer.clone().into(),
                    "choices" => sample.choices.clone().into(),
                    key => sample.meta[key].clone(),
                };
                assert_eq!(&got, want, "{task:?}, {}: {key}", sample.id);
            }
            let (width, height) = sample.images[0].decode().unwrap().dimensions();
            assert!(width >= 12 && height >= 10);
        }
    }
}

#[test]
fn questions_about_one_picture_share_it_and_lie_side_by_side() {
    for (task, rows) in layouts() {
        let numbers: Vec<usize> = (0..rows.len()).map(|i| task.image_of(Split::Test, i)).collect();
        assert!(
            numbers.windows(2).all(|two| two[1] == two[0] || two[1] == two[0] + 1),
            "{task:?}: {numbers:?}"
        );
        let pictures = match task.name() {
            "hr-bench-4k" | "hr-bench-8k" => 2,
            "mme-realworld" | "mme-realworld-lite" => 2,
            _ => rows.len(),
        };
        assert_eq!(numbers.last(), Some(&(pictures - 1)), "{task:?}");
    }
}

#[test]
fn the_right_answer_is_right_and_its_neighbour_is_wrong() {
    for (task, _) in layouts() {
        for sample in samples(task.as_ref()) {
            let said = |text: &str| task.grade(&sample, text).outcome;
            assert_eq!(said(&sample.answer), Outcome::Right, "{}", sample.id);
            assert_eq!(said(&format!("<think>A or B</think>\\boxed{{{}}}", sample.answer)), Outcome::Right);
            assert_eq!(said("<think>A"), Outcome::Unparsed);
            if !sample.choices.is_empty() && task.name() != "mathvista" {
                let other = if sample.answer == "A" { "B" } else { "A" };
                assert_eq!(said(other), Outcome::Wrong, "{}", sample.id);
            }
        }
    }
}

/// The made-up questions of tests/golden/extract.
fn asked(task: &dyn Task, choices: &Value, meta: Value) -> Sample {
    let mut sample = task.sample(Split::Test, 0).unwrap();
    let multiple = !choices.is_null();
    sample.problem = if task.name() == "mathvista" { "How many?" } else { "What colour?" }.into();
    sample.choices = serde_json::from_value(choices.clone()).unwrap_or_default();
    sample.meta = meta.as_object().unwrap().clone();
    assert!(multiple || sample.choices.is_empty());
    sample
}

#[test]
fn prompts_are_those_of_the_harnesses() {
    let golden = json("extract/golden.json");
    let words = |name: &str| OpenOptions { wording: Some(name.into()), ..OpenOptions::default() };
    let plain = &golden["choices"][0];
    let bare: Vec<String> = serde_json::from_value(golden["mme_choices"][0].clone()).unwrap();
    let bare: Value = bare.iter().map(|option| option[4..].to_owned()).collect();
    for (name, folder, choices) in [
        ("vstar", "vstar_folder", plain),
        ("mme-realworld", "mme_json", &bare),
        ("mme-realworld-cn", "mme_json", &bare),
        ("hr-bench-4k", "hr_bench", plain),
    ] {
        let task = opened(name, &crate::golden("benchmarks").join(folder), words("lmms-eval")).unwrap();
        let sample = asked(task.as_ref(), choices, Value::Object(Default::default()));
        assert_eq!(task.prompt(&sample), golden["prompts"][format!("{name}/lmms-eval")], "{name}");
    }
    let folder = crate::golden("benchmarks/mathvista");
    let direct = opened("mathvista", &folder, words("lmms-eval")).unwrap();
    let official = opened("mathvista", &folder, OpenOptions::default()).unwrap();
    for (i, question) in golden["vista_questions"].as_array().unwrap().iter().enumerate() {
        let mut meta = question.clone();
        meta["unit"] = "cm".into();
        let sample = asked(direct.as_ref(), &question["choices"], meta);
        assert_eq!(direct.prompt(&sample), golden["prompts"]["mathvista/lmms-eval"][i]);
        // The published query has the hint first, and no "Solution:" behind.
        let want = golden["prompts"]["mathvista/official"][i].as_str().unwrap();
        let got = official.prompt(&sample);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&got), sorted(want.strip_suffix("\nSolution:").unwrap()));
    }
    let task = opened("mathvista", &folder, OpenOptions::default()).unwrap();
    assert_eq!(
        task.prompt(&task.sample(Split::Test, 0).unwrap()),
        "Hint: as published.\nQuestion: What is x?"
    );
}

#[test]
fn the_published_options_are_shown_to_the_letter() {
    let task = opened("mme-realworld-cn", &golden("benchmarks/mme_json"), OpenOptions::default()).unwrap();
    let prompt = task.prompt(&task.sample(Split::Test, 0).unwrap());
    assert!(
        prompt.contains("\n（A）red\n（B）blue, or \"blue\"\n") && prompt.ends_with("最佳答案为："),
        "{prompt}"
    );
    let task = opened("mme-realworld", &golden("benchmarks/mme_json"), OpenOptions::default()).unwrap();
    let prompt = task.prompt(&task.sample(Split::Test, 0).unwrap());
    let end = "\n(E) The image does not feature it\nSelect the best answer to the above multiple-choice question based \
               on the image. Respond with only the letter (A, B, C, D, or E) of the correct option. \nThe best answer is:";
    assert!(
        prompt.starts_with("What colour is the bus? The choices are listed below:\n(A) red\n"),
        "{prompt}"
    );
    assert!(prompt.ends_with(end), "{prompt}");
}

#[test]
fn options_are_shuffled_by_seed_and_question_and_the_answer_follows() {
    let folder = |name: &str| golden("benchmarks").join(name);
    for (name, data, fixed) in
        [("vstar", "vstar_folder", 0), ("mme-realworld", "mme_json", 1), ("mathvista", "mathvista", 0)]
    {
        let plain = opened(name, &folder(data), OpenOptions::default()).unwrap();
        let mut orders = Vec::new();
        for seed in 0..24 {
            let open =
                || opened(name, &folder(data), OpenOptions { shuffle: Some(seed), ..OpenOptions::default() });
            let (task, again) = (open().unwrap(), open().unwrap());
            for i in 0..task.len(Split::Test) {
                let (sample, before) =
                    (task.sample(Split::Test, i).unwrap(), plain.sample(Split::Test, i).unwrap());
                if sample.choices.is_empty() {
                    continue;
                }
                assert_eq!(sample.choices, again.sample(Split::Test, i).unwrap().choices);
                let text = |s: &Sample| {
                    let at = (s.answer.as_bytes()[0] as usize).wrapping_sub('A' as usize);
                    if name == "mathvista" { s.answer.clone() } else { s.choices[at].clone() }
                };
                assert_eq!(text(&sample), text(&before), "{name}, {}", sample.id);
                assert_eq!(task.grade(&sample, &sample.answer).outcome, Outcome::Right);
                let order: Vec<usize> = serde_json::from_value(sample.meta["order"].clone()).unwrap();
                assert!(order.iter().zip(&sample.choices).all(|(&from, text)| before.choices[from] == *text));
                let kept = order.len() - fixed;
                assert!((kept..order.len()).all(|at| order[at] == at));
                assert!(sample.choices.iter().all(|option| task.prompt(&sample).contains(option)));
                orders.push(order);
            }
        }
        orders.sort();
        orders.dedup();
        assert!(orders.len() >= 6, "{name}: {} orders", orders.len());
    }
}

fn refused(task: &str, data: &Path) -> String {
    opened(task, data, OpenOptions::default()).unwrap_err().to_string()
}

#[test]
fn what_is_not_the_benchmark_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(refused("vstar", &at("nowhere")).contains("nowhere"));
    assert!(refused("hr-bench-8k", dir.path()).contains("hr-bench-8k"));
    // A row of another benchmark.
    let error = refused("hr-bench-4k", &golden("benchmarks/mme_lite/mme_realworld_lite.tsv"));
    assert!(error.contains("mme-realworld-base64") && error.contains("vlmevalkit"), "{error}");
    // A label that no option has, an option that is missing, a picture that is missing, an id twice.
    let line = |label: &str, text: &str, id: usize| {
        format!(
            "{{\"image\": \"a.png\", \"text\": \"{text}\", \"category\": \"x\", \"label\": \"{label}\", \"question_id\": {id}}}\n"
        )
    };
    fs::copy(golden("benchmarks/mme_json/sights/0.png"), at("a.png")).unwrap();
    let good = line("A", "Q? (A) one (B) two", 1);
    for (bad, words) in [
        (line("C", "Q? (A) one (B) two", 2), ["row 1", "label", "`C`"]),
        (line("A", "Q? (A) one", 2), ["row 1", "text", "(A)"]),
        (line("A", "Q? (A) one (B) two", 2).replace("a.png", "b.png"), ["row 1", "image", "b.png"]),
        (line("B", "R? (A) one (B) two", 1), ["two questions", "id", "`1`"]),
    ] {
        fs::write(at("test_questions.jsonl"), format!("{good}{bad}")).unwrap();
        let error = refused("vstar", dir.path());
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} in {error}");
    }
    let options = OpenOptions { wording: Some("mine".into()), ..OpenOptions::default() };
    let error = opened("vstar", &golden("benchmarks/vstar_folder"), options).unwrap_err().to_string();
    assert!(error.contains("`mine`") && error.contains("lmms-eval"), "{error}");
}

#[test]
fn a_split_takes_the_files_whose_names_begin_so() {
    let folder = golden("benchmarks/mathvista");
    let whole = samples(opened("mathvista", &folder, OpenOptions::default()).unwrap().as_ref());
    let named = |split: &str| PathBuf::from(format!("{}@{split}", folder.display()));
    let part = opened("mathvista", &named("testmini"), OpenOptions::default()).unwrap();
    let ids = |samples: &[Sample]| samples.iter().map(|sample| sample.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&samples(part.as_ref())), ids(&whole));
    let none = opened("mathvista", &named("train"), OpenOptions::default()).unwrap_err();
    assert!(none.is_input() && none.to_string().contains("mathvista"), "{none}");
}
