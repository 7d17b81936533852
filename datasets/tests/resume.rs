//! An import killed by -9 and run again ends with the same files as one never killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

mod support;

use foveate_datasets::prep::{Hooks, Progress, import};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{golden, options, run};

const ROWS: usize = 12_000;

fn write_rows(path: &Path) {
    let rows: Vec<_> = (0..ROWS)
        .map(|i| {
            let images = if i % 3 == 0 { vec!["a.png"] } else { vec![] };
            let answer = if i % 97 == 5 { json!(null) } else { json!(i) };
            let id = if i % 500 == 499 { 1 } else { i };
            json!({"id": format!("r{id}"), "problem": format!("row {i}"), "answer": answer, "images": images})
                .to_string()
        })
        .collect();
    fs::write(path, rows.join("\n")).unwrap();
}

/// The child: imports what the environment names. Run by the test below only.
#[test]
#[ignore = "a child process of the test below"]
fn child() {
    let Ok(folder) = std::env::var("FOVEATE_TEST_IMPORT") else { return };
    let folder = Path::new(&folder);
    let mut options = options(&folder.join("rows.jsonl"), "auto", &folder.join("killed"));
    options.validation = 0.1;
    // A breath after every chunk, so that the parent can hit any of them.
    let slow = |_: Progress| std::thread::sleep(Duration::from_millis(15));
    import(&options, Hooks { progress: Some(&slow), ..Hooks::default() }).unwrap();
}

#[test]
fn killed_and_run_again_is_never_killed() {
    let dir = tempfile::tempdir().unwrap();
    write_rows(&dir.path().join("rows.jsonl"));
    fs::copy(golden().join("images/a.png"), dir.path().join("a.png")).unwrap();
    let mut whole = options(&dir.path().join("rows.jsonl"), "auto", &dir.path().join("whole"));
    whole.validation = 0.1;
    let report = run(&whole);
    assert_eq!(report.rows_in, ROWS as u64);
    assert!(
        report.rejected["broken"] > 100 && report.rejected["duplicate"] > 10 && report.rows_validation > 100
    );

    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child"])
            .env("FOVEATE_TEST_IMPORT", dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut kills = 0;
    for wait in [30, 60, 90, 130, 170, 210] {
        let mut child = start();
        std::thread::sleep(Duration::from_millis(wait));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
    }
    assert!(kills >= 2, "only {kills} kills hit");
    assert!(start().wait().unwrap().success());
    for name in ["data.parquet", "validation.parquet", "rejects.jsonl", "import.json"] {
        let read = |run: &str| fs::read(dir.path().join(run).join(name)).unwrap();
        assert!(read("whole") == read("killed"), "{name} differs");
    }
    let files = |run: &str| {
        let mut names: Vec<_> =
            fs::read_dir(dir.path().join(run)).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(files("whole"), files("killed"));
}

/// Asked to stop, it ends after a chunk; a part that is not what it was is made again.
#[test]
fn stopped_and_taken_up_again_is_never_stopped_even_with_a_damaged_part() {
    let dir = tempfile::tempdir().unwrap();
    write_rows(&dir.path().join("rows.jsonl"));
    fs::copy(golden().join("images/a.png"), dir.path().join("a.png")).unwrap();
    let at = |out: &str| options(&dir.path().join("rows.jsonl"), "auto", &dir.path().join(out));
    run(&at("whole"));
    let stop = AtomicBool::new(false);
    let after_three = |progress: Progress| stop.store(progress.rows >= 3000, Ordering::Relaxed);
    let hooks = Hooks { progress: Some(&after_three), stop: Some(&stop), ..Hooks::default() };
    let error = import(&at("stopped"), hooks).unwrap_err();
    assert!(matches!(error, foveate_datasets::Error::Stopped { rows: 3072 }) && !error.is_input(), "{error}");
    let parts = dir.path().join("stopped/.parts");
    let part = parts.join("000001.data.parquet");
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    fs::write(parts.join("000002.json"), "").unwrap();
    run(&at("stopped"));
    for name in ["data.parquet", "rejects.jsonl", "import.json"] {
        let read = |run: &str| fs::read(dir.path().join(run).join(name)).unwrap();
        assert!(read("whole") == read("stopped"), "{name} differs");
    }
    assert!(!parts.exists());
}

#[test]
fn a_folder_with_another_import_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let first = options(&golden().join("easyr1.jsonl"), "auto", dir.path());
    let report = run(&first);
    assert_eq!(run(&first), report, "a second run finds the first");
    let other = options(&golden().join("swift.jsonl"), "auto", dir.path());
    let message = import(&other, Hooks::default()).unwrap_err().to_string();
    assert!(message.contains("another source"), "{message}");
}
