//! Metrics against the benchmarks' own scripts (tests/golden/metrics/make.py), and against counting by hand.
#![allow(clippy::unwrap_used)] // tests may panic, also in their helpers

use foveate_datasets::Sample;
use foveate_eval::extract::of_task;
use foveate_eval::metrics::{BENCHMARKS, Quality, RunSummary, Summary, runs};
use foveate_eval::stats::Bootstrap;
use foveate_eval::{METRICS, Record, Verdict};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

fn json_of(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/metrics/");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}{name}")).unwrap()).unwrap()
}

fn golden() -> Value {
    json_of("golden.json")
}

fn verdict(right: bool) -> Verdict {
    if right { Verdict::Right } else { Verdict::Wrong }
}

/// Records of the rows of a golden, graded by `right`.
fn records(task: &str, rows: &Value, grade: impl Fn(&Value) -> (Verdict, Option<String>)) -> Vec<Record> {
    let record = |(n, row): (usize, &Value)| {
        let (outcome, parsed) = grade(row);
        let (sample, image) = (n.to_string(), n.to_string());
        let meta = row.as_object().unwrap().clone();
        Record { task: task.into(), sample, image, meta, outcome, parsed, ..Record::default() }
    };
    rows.as_array().unwrap().iter().enumerate().map(record).collect()
}

fn scores(task: &str, records: &[Record]) -> BTreeMap<String, f64> {
    let of = BENCHMARKS.iter().find(|benchmark| benchmark.tasks.contains(&task)).unwrap().of;
    let refs: Vec<&Record> = records.iter().collect();
    of(&refs).into_iter().map(|score| (score.name, score.value)).collect()
}

fn agree(task: &str, got: &BTreeMap<String, f64>, want: &Value) {
    let want = want.as_object().unwrap();
    assert!(!want.is_empty());
    for (name, value) in want {
        let got = got.get(name).copied().unwrap_or(f64::NAN);
        assert!(
            (got - value.as_f64().unwrap()).abs() < 1e-9,
            "{task}: {name} is {got}, the script says {value}"
        );
    }
}

fn right(row: &Value) -> (Verdict, Option<String>) {
    (verdict(row["right"].as_bool().unwrap()), None)
}

#[test]
fn scores_are_those_of_the_scripts() {
    let golden = golden();
    for (key, task) in [("hr_bench", "hr-bench-4k"), ("mathvista", "mathvista"), ("vstar", "vstar")] {
        let got = scores(task, &records(task, &golden[key]["rows"], right));
        agree(task, &got, &golden[key]["scores"]);
        if key == "hr_bench" {
            agree(task, &got, &golden[key]["lmms-eval"]);
        }
    }
}

#[test]
fn mme_scores_are_those_of_the_three_programs() {
    let golden = &golden()["mme"];
    let task = "mme-realworld";
    let choices =
        ["red", "blue car", "green", "4", "The image does not feature it"].map(String::from).to_vec();
    for (name, key) in [("official", "scores"), ("vlmevalkit", "vlmevalkit"), ("lmms-eval", "lmms-eval")] {
        let extractor = of_task(task).find(|extractor| extractor.name == name).unwrap();
        let all = records(task, &golden["rows"], |row| {
            let answer = row["answer"].as_str().unwrap().to_owned();
            let (id, problem, meta) = ("1".into(), "?".into(), Map::new());
            let sample = Sample { id, problem, answer, choices: choices.clone(), images: vec![], meta };
            let grade = extractor.grade(&sample, row["response"].as_str().unwrap());
            (grade.outcome.into(), grade.parsed)
        });
        agree(name, &scores(task, &all), &golden[key]);
    }
}

/// Answers to `outcomes` (one letter each: right, wrong, unparsed, failed) in one kind of picture, two a picture.
fn cell(model: &str, corruption: Option<&str>, severity: u8, outcomes: &str) -> Vec<Record> {
    let record = |(n, letter): (usize, char)| {
        let outcome = match letter {
            'r' => Verdict::Right,
            'w' => Verdict::Wrong,
            'u' => Verdict::Unparsed,
            _ => Verdict::Failed,
        };
        let parsed = match outcome {
            Verdict::Right => Some("A".to_owned()),
            Verdict::Wrong => Some("B".to_owned()),
            _ => None,
        };
        let record = Record {
            task: "shapes".into(),
            model: model.into(),
            sample: n.to_string(),
            image: (n / 2).to_string(),
            corruption: corruption.map(str::to_owned),
            severity,
            seen: corruption.map(|name| name == "fog"),
            chance: Some(0.25),
            outcome,
            parsed,
            response: (outcome != Verdict::Failed).then(|| "word".repeat(n + 1)),
            ..Record::default()
        };
        Record { key: record.digest(), ..record }
    };
    outcomes.chars().enumerate().map(record).collect()
}

fn summary(records: &[Record]) -> RunSummary {
    Summary::of(records, &Bootstrap { resamples: 200, ..Bootstrap::default() }).runs.remove(0)
}

fn near(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-12, "{got} is not {want}");
}

#[test]
fn robustness_is_what_counting_by_hand_finds() {
    let mut all = cell("m", None, 0, "rrrrww");
    all.extend(cell("m", Some("fog"), 1, "rrrwwr"));
    all.extend(cell("m", Some("fog"), 5, "rrwuww"));
    all.extend(cell("m", Some("blur"), 3, "rwrrww"));
    let run = summary(&all);
    let whole = run.robustness.clone().unwrap();
    assert_eq!(whole.cells, 3);
    near(whole.clean.value, 4. / 6.);
    near(whole.corrupted.value, (4. / 6. + 2. / 6. + 3. / 6.) / 3.);
    near(whole.retention.unwrap().value, 0.75);
    near(whole.retention_beyond_chance.unwrap().value, (0.5 - 0.25) / (4. / 6. - 0.25));
    assert_eq!(whole.worst_cell.0, "fog-5");
    assert_eq!(whole.worst_corruption.0, "blur");
    near(whole.worst_corruption.1, 0.5);
    near(whole.always_right.value, 1. / 6.);
    near(whole.consistency.value, 2. / 6.);
    near(whole.flip.value, (2. + 2. + 1.) / 18.);
    near(whole.broken.value, (1. + 2. + 1.) / 18.);
    near(whole.fix.value, 1. / 18.);
    near(whole.clean.value - whole.corrupted.value, whole.broken.value - whole.fix.value);
    let interval = whole.corrupted.interval.unwrap();
    assert!(interval.low <= whole.corrupted.value && whole.corrupted.value <= interval.high);
    assert_eq!((run.seen.as_ref().unwrap().cells, run.unseen.as_ref().unwrap().cells), (2, 1));
    near(run.seen.unwrap().corrupted.value, 0.5);

    assert_eq!(run.cells.len(), 4);
    assert!(run.cells[0].corruption.is_none() && run.cells[0].drift.is_none());
    let fog = run.cells.iter().find(|c| c.corruption.as_deref() == Some("fog") && c.severity == 5).unwrap();
    let drift = fog.drift.unwrap();
    assert_eq!(drift.pairs, 6);
    near(drift.unparsed, 1. / 6.);
    near(drift.length.unwrap(), 1.);
    near(drift.p, 0.5);
    near(drift.p_holm, 1.);
    assert!(run.complete);
}

/// tests/golden/metrics/make_errors.py: pandas, by the formulas of ImageNet-C's paper, with a stored baseline.
#[test]
fn corruption_errors_are_those_of_an_independent_script() {
    let golden = json_of("errors.json");
    let run = |who: &str| {
        let cells = golden["letters"][who].as_object().unwrap();
        let of = |(name, letters): (&String, &Value)| {
            let (corruption, severity) = name.rsplit_once('-').unwrap();
            let corruption = Some(corruption).filter(|name| !name.is_empty());
            cell(who, corruption, severity.parse().unwrap(), letters.as_str().unwrap())
        };
        summary(&cells.iter().flat_map(of).collect::<Vec<_>>())
    };
    // The baseline as it is stored: what a summary.json says.
    let stored = serde_json::to_string(&run("base")).unwrap();
    let stored: RunSummary = serde_json::from_str(&stored).unwrap();
    let errors = run("model").against(&stored).unwrap();
    assert_eq!(errors.baseline, "base");
    let want = &golden["want"];
    let close =
        |got: f64, want: &Value| assert!((got - want.as_f64().unwrap()).abs() < 1e-12, "{got}: {want}");
    close(errors.mce, &want["mce"]);
    close(errors.relative_mce.unwrap(), &want["relative_mce"]);
    assert_eq!((errors.ce.len(), errors.relative_ce.len()), (4, 4));
    errors.ce.iter().for_each(|(name, ce)| close(*ce, &want["ce"][name]));
    errors.relative_ce.iter().for_each(|(name, ce)| close(*ce, &want["relative_ce"][name]));
}

#[test]
fn a_failed_call_is_in_no_number() {
    let mut all = cell("m", None, 0, "rfrw");
    all.extend(cell("m", Some("fog"), 1, "rrfw"));
    let run = summary(&all);
    assert!(!run.complete);
    assert_eq!(run.counts.failed, 2);
    near(run.cells[0].metrics["accuracy"], 2. / 3.);
    assert_eq!(run.cells[1].drift.unwrap().pairs, 2);
    let whole = run.robustness.unwrap();
    near(whole.always_right.value, 0.5);
    near(whole.broken.value, 0.);
    let failed = cell("m", None, 0, "ff");
    let refs: Vec<&Record> = failed.iter().collect();
    assert!(METRICS.iter().all(|metric| (metric.of)(&refs).is_none()));
    assert!(Summary::of(&failed, &Bootstrap::default()).runs[0].robustness.is_none());
}

#[test]
fn two_models_are_compared_on_the_same_questions() {
    let mut all = cell("a", None, 0, "rrwwrrwwff");
    all.extend(cell("b", None, 0, "rrrrrwrrrr"));
    all.extend(cell("a", Some("fog"), 1, "wwwwwwwwww"));
    all.extend(cell("b", Some("fog"), 1, "wwwwwwwwwr"));
    all.extend(cell("b", Some("rain"), 1, "rrrrrrrrrr"));
    let comparison = Summary::of(&all, &Bootstrap::default()).comparisons.remove(0);
    assert_eq!(comparison.models, ["a".to_owned(), "b".to_owned()]);
    assert_eq!(comparison.cells.keys().collect::<Vec<_>>(), ["clean", "fog-1"], "rain is only in one");
    let clean = comparison.cells["clean"];
    assert_eq!((clean.pairs, clean.only), (8, [1, 4]));
    near(clean.difference, 3. / 8.);
    near(clean.p, 0.375);
    near(clean.p_holm, 0.75);
    let interval = clean.interval.unwrap();
    assert!(interval.low <= clean.difference && clean.difference <= interval.high);
    assert_eq!(comparison.corrupted.unwrap().pairs, 10);
}

#[test]
fn a_summary_depends_on_the_records_and_not_on_their_order() {
    let mut all = cell("b", Some("fog"), 2, "rwrurw");
    all.extend(cell("a", None, 0, "rrrrww"));
    all.extend(cell("b", None, 0, "rrwwrr"));
    let bootstrap = Bootstrap { resamples: 100, ..Bootstrap::default() };
    let first = Summary::of(&all, &bootstrap);
    all.reverse();
    assert_eq!(Summary::of(&all, &bootstrap), first);
    let text = serde_json::to_string(&first).unwrap();
    let read: Summary = serde_json::from_str(&text).unwrap();
    assert_eq!(read, first);
}

#[test]
fn quality_sets_get_correlations_and_others_do_not() {
    let score = |n: usize, said: Option<&str>| {
        let mut record = cell("m", None, 0, &"r".repeat(n + 1)).remove(n);
        record.task = "data".into();
        record.meta = json!({"score": n}).as_object().unwrap().clone();
        record.answer = format!("{:.4}", 1. + 0.4 * n as f64);
        record.parsed = said.map(str::to_owned);
        record.outcome = if said.is_some() { Verdict::Wrong } else { Verdict::Unparsed };
        record
    };
    let said = ["1.9", "1.0", "2.3", "2.6", "2.9", "3.1", "3.7", "3.4", "4.1", "5.0"];
    let mut all: Vec<Record> = said.iter().enumerate().map(|(n, text)| score(n, Some(text))).collect();
    all.push(score(10, None));
    let quality = Quality::of(&runs(&all)[0]).remove("clean").unwrap();
    assert_eq!((quality.pictures, quality.unparsed), (10, 1));
    // scipy 1.17.1: spearmanr, kendalltau and curve_fit of said and 1 + 0.4 n
    near(quality.raw.srcc.unwrap(), 0.975_757_575_757_575_7);
    near(quality.raw.krcc.unwrap(), 0.911_111_111_111_111);
    near(quality.raw.rmse.unwrap(), 0.435_889_894_354_067_33);
    let fitted = quality.fitted_four.unwrap();
    assert!((fitted.rmse.unwrap() - 0.241_339_885_286_853_5).abs() < 1e-7);
    assert!((fitted.plcc.unwrap() - 0.977_688_623_888_043_9).abs() < 1e-7);
    assert!(Quality::of(&runs(&cell("m", None, 0, "rw"))[0]).is_empty());
}
