//! `foveate eval` and `foveate report` as a user meets them: killed at any moment, cut in shards, shown.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A fresh directory with a small model.
struct Place(TempDir);

const EVAL: [&str; 15] = [
    "eval",
    "--task",
    "shapes",
    "--size",
    "56",
    "--model",
    "model",
    "--max-tokens",
    "3",
    "--limit",
    "60",
    "--seed",
    "5",
    "--corruptions",
    "contrast,gaussian_noise,fog",
];

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
        tiny::write(&place.at("model"), &spec).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.current_dir(self.0.path()).args(words);
        command
    }

    fn foveate(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs a command that must do its work, and gives what it said on both ends.
    fn done(&self, words: &[&str]) -> String {
        let output = self.foveate(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap() + &said
    }

    fn refused(&self, words: &[&str]) -> String {
        let output = self.foveate(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// Measures into `out`, with further words.
    fn eval(&self, out: &str, more: &[&str]) -> String {
        self.done(&[&EVAL[..], more, &["--out", out]].concat())
    }

    fn lines(&self, out: &str) -> Vec<String> {
        let mut lines: Vec<String> =
            self.read(&format!("{out}/records.jsonl")).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

#[test]
fn killed_at_five_moments_the_summary_is_that_of_a_run_that_was_not() {
    let place = Place::new();
    let started = std::time::Instant::now();
    place.eval("whole", &[]);
    let whole = started.elapsed();
    assert_eq!(place.lines("whole").len(), 60 * (1 + 3 * 3));
    // Moments that the process number draws: other ones each time.
    let mut draw = u64::from(std::process::id()) | 1;
    let mut kills = 0;
    for kill in 0..5 {
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (draw >> 40) as f64 / (1u64 << 24) as f64;
        let moment = Duration::from_secs_f64(whole.as_secs_f64() * (0.05 + 0.5 * share));
        let words = [&EVAL[..], &["--out", "killed"]].concat();
        let mut child = place.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap(); // SIGKILL
            kills += 1;
        }
        child.wait().unwrap();
        if kill == 2 {
            // As a machine that went down in the middle of a line would leave it.
            let file = place.at("killed/records.jsonl");
            let mut bytes = std::fs::read(&file).unwrap_or_default();
            bytes.extend_from_slice(b"{\"key\":\"0123");
            std::fs::create_dir_all(place.at("killed")).unwrap();
            std::fs::write(&file, bytes).unwrap();
        }
    }
    assert!(kills > 0);
    place.eval("killed", &[]);
    assert_eq!(place.read("killed/summary.json"), place.read("whole/summary.json"));
    assert_eq!(place.lines("killed"), place.lines("whole"), "nothing lost, nothing twice");
    // `--out` differs, and nothing else.
    let same = |out: &str| place.read(&format!("{out}/eval.json")).replace(out, "OUT");
    assert_eq!(same("killed"), same("whole"));

    // Once more asks nobody.
    let said = place.eval("killed", &[]);
    assert!(said.contains("600 answered before"), "{said}");
}

#[test]
fn shards_laid_together_are_the_whole() {
    let place = Place::new();
    place.eval("whole", &["--severities", "3"]);
    let mut together = String::new();
    for shard in ["3/3", "1/3", "2/3"] {
        place.eval("part", &["--severities", "3", "--shard", shard]);
        together += &place.read("part/records.jsonl");
        std::fs::remove_dir_all(place.at("part")).unwrap();
    }
    std::fs::create_dir(place.at("laid")).unwrap();
    std::fs::write(place.at("laid/records.jsonl"), together).unwrap();
    assert_eq!(place.lines("laid"), place.lines("whole"));
    let said = place.eval("laid", &["--severities", "3"]);
    assert!(said.contains("240 answered before"), "{said}");
    assert_eq!(place.read("laid/summary.json"), place.read("whole/summary.json"));
    let message = place.refused(&[&EVAL[..], &["--shard", "4/3", "--out", "x"]].concat());
    assert!(message.contains("--shard") && message.contains("4/3"), "{message}");
}

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let place = Place::new();
    let (more, blind) = (["--severities", "1,5"], ["--severities", "1,5", "--text-only"]);
    place.eval("a", &more);
    place.eval("a", &blind);
    place.eval("b", &["--severities", "1,5", "--max-pixels", "3136,6272"]);
    std::fs::create_dir(place.at("run")).unwrap();
    let steps: String =
        (1..40).map(|i| format!("{{\"step\":{i},\"reward/mean\":{}}}\n", f64::from(i) / 40.0)).collect();
    std::fs::write(place.at("run/metrics.jsonl"), steps).unwrap();
    place.done(&["report", "a", "b", "run", "--out", "pages/report.html"]);
    let page = place.read("pages/report.html");
    for word in [
        "<!doctype html>",
        "Accuracy against severity",
        "Paired differences",
        "Failures to look at",
        "Training",
        "To do it again",
        "Budget of pixels",
        "text only",
        "foveate eval --task shapes",
        "data:image/jpeg;base64,",
    ] {
        assert!(page.contains(word), "{word}");
    }
    for foreign in ["<script", "http://", "https://", "@import", "url(", "<link", "NaN", "javascript"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let json: Value = serde_json::from_str(&place.read("pages/report.json")).unwrap();
    assert_eq!(json["summary"]["runs"].as_array().unwrap().len(), 4);
    let clean = &json["summary"]["runs"][0]["cells"][0]["counts"];
    assert_eq!(["right", "wrong", "unparsed"].map(|k| clean[k].as_u64().unwrap()).iter().sum::<u64>(), 60);
    assert!(place.read("pages/report.md").contains("| corruption | 1 | 5 |"));

    let message = place.refused(&["report", "nowhere", "--out", "x.html"]);
    assert!(message.contains("nowhere") && message.contains("records.jsonl"), "{message}");
    let message = place.refused(&["report", "a", "--out", "x.pdf"]);
    assert!(message.contains("--out") && message.contains("x.pdf"), "{message}");
    let mut bytes = std::fs::read(place.at("a/records.jsonl")).unwrap();
    bytes.splice(0..0, b"{\"task\":1}\n".iter().copied());
    std::fs::write(place.at("a/records.jsonl"), bytes).unwrap();
    let message = place.refused(&["report", "a", "--out", "x.html"]);
    assert!(message.contains("records.jsonl:1"), "{message}");
}

#[test]
fn answers_of_several_turns_are_records_like_others_and_the_report_says_where_was_looked() {
    let place = Place::new();
    let small: Vec<&'static str> = EVAL.iter().map(|word| if *word == "60" { "12" } else { *word }).collect();
    let asked = |more: &[&'static str]| -> Vec<&'static str> {
        [&small[..], &["--severities", "3", "--out", "a"], more].concat()
    };
    place.done(&asked(&["--turns", "brief"]));
    place.done(&asked(&[]));
    let records: Vec<Value> =
        place.lines("a").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (talks, single): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|record| record["sampling"].as_str().unwrap().starts_with("brief in 2 turns"));
    assert_eq!((talks.len(), single.len()), (48, 48));
    assert!(talks.iter().all(|record| record["turns"][0]["reply"].is_string()));
    assert!(single.iter().all(|record| record["turns"].as_array().unwrap().is_empty()));
    // A small untrained model names no box.
    place.done(&["report", "a", "--out", "page.html"]);
    let page = place.read("page.html");
    for word in ["no usable box: no-block", "usable boxes", "brief in 2 turns", "in one turn"] {
        assert!(page.contains(word), "{word}");
    }
    for (words, hint) in [
        (&["--turns", "chatty"][..], "brief"),
        (&["--turns", "brief", "--frame", "inches"][..], "thousandths"),
        (&["--max-turns", "3"][..], "--turns"),
        (&["--turns", "brief", "--likelihood"][..], "cannot be used with"),
        (&["--likelihood"][..], "cannot be used with"),
    ] {
        let message = place.refused(&asked(words));
        assert!(message.contains(hint), "{words:?}: {message}");
    }
    let server = [
        "eval",
        "--task",
        "shapes",
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--served-model",
        "m",
        "--out",
        "x",
    ];
    let message = place.refused(&[&server[..], &["--turns", "mgpo"]].concat());
    assert!(message.contains("--processor") && message.contains("--turns"), "{message}");
}

/// A model of a run is measured against what it was trained on, also where the run's recipe has keys of another version.
#[test]
fn what_a_run_was_trained_on_is_read_from_its_recipe() {
    let place = Place::new();
    std::fs::create_dir_all(place.at("run/checkpoints")).unwrap();
    std::fs::rename(place.at("model"), place.at("run/checkpoints/step-000001")).unwrap();
    let recipe = "seed = 1\nnew_key = 2\n[later]\nkey = 3\n[[view]]\nname = \"a\"\nmore = 1\n\
                  corruptions = [\"contrast\"]\n[[view]]\nname = \"b\"\ncorruptions = [\"fog\"]\n";
    std::fs::write(place.at("run/recipe.resolved.toml"), recipe).unwrap();
    let asked = [
        "eval",
        "--task",
        "shapes",
        "--size",
        "56",
        "--limit",
        "3",
        "--severities",
        "3",
        "--max-tokens",
        "2",
    ];
    let model = [
        "--corruptions",
        "contrast,gaussian_noise",
        "--model",
        "run/checkpoints/step-000001",
        "--out",
        "out",
    ];
    place.done(&[&asked[..], &model].concat());
    for line in place.lines("out") {
        let record: Value = serde_json::from_str(&line).unwrap();
        let seen = record["corruption"].as_str().map(|name| name == "contrast");
        assert_eq!(record["seen"].as_bool(), seen, "{line}");
    }
    std::fs::write(place.at("run/recipe.resolved.toml"), "[[view]]\ncorruptions = 3\n").unwrap();
    let message = place.refused(&[&asked[..], &model].concat());
    assert!(message.contains("recipe.resolved.toml") && message.contains("corruptions"), "{message}");
}

#[test]
fn baselines_and_recorded_responses_are_policies_too() {
    let place = Place::new();
    let asked = ["eval", "--task", "shapes", "--size", "56", "--limit", "24", "--out", "out"];
    place.done(&[&asked[..], &["--baseline", "chance"]].concat());
    place.done(&[&asked[..], &["--baseline", "always-a"]].concat());
    let ids: Vec<String> = place
        .lines("out")
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["sample"].as_str().unwrap().to_owned())
        .collect();
    let mut rows: Vec<String> =
        ids[..24].iter().map(|id| format!("{{\"id\":\"{id}\",\"response\":\"red\"}}\n")).collect();
    rows.sort();
    rows.dedup();
    std::fs::write(place.at("said.jsonl"), rows[1..].concat()).unwrap();
    let output = place.foveate(&[&asked[..], &["--responses", "said.jsonl"]].concat());
    assert_eq!(output.status.code(), Some(1), "some were not recorded");
    assert!(String::from_utf8(output.stderr).unwrap().contains("calls failed"));

    for (words, hint) in [
        (&["--baseline", "luck"][..], "chance"),
        (&["--baseline", "chance", "--model", "model"][..], "cannot be used with"),
        (&["--endpoint", "http://x/v1"][..], "served-model"),
        (&["--model", "nowhere"][..], "nowhere"),
        (&["--model", "model", "--corruptions", "foggy"][..], "foggy"),
        (&["--model", "model", "--corruptions", "fog", "--severities", "9"][..], "--severities"),
        (&["--model", "model", "--scale", "large"][..], "large"),
        (&[][..], "--model"),
    ] {
        let message = place.refused(&[&asked[..], words].concat());
        assert!(message.contains(hint), "{words:?}: {message}");
    }
    let message = place.refused(&["eval", "--task", "nothing", "--baseline", "chance", "--out", "x"]);
    assert!(message.contains("nothing") && message.contains("shapes"), "{message}");
}

/// The only thread of the common pool waits for answers; whoever needs one to give them must bring its own.
#[test]
fn one_thread_is_enough_and_changes_nothing() {
    let place = Place::new();
    let words = |out| [&EVAL[..], &["--out", out]].concat();
    let mut child =
        place.command(&words("one")).env("RAYON_NUM_THREADS", "1").stderr(Stdio::null()).spawn().unwrap();
    let status = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(100));
        child.try_wait().unwrap()
    });
    if status.is_none() {
        child.kill().unwrap();
    }
    assert_eq!(status.and_then(|status| status.code()), Some(0), "it hangs");
    place.done(&words("more"));
    assert_eq!(place.lines("one"), place.lines("more"));
}
