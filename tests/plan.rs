//! `foveate plan` against what transformers counts, what a run takes, and what its own page says.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/peak.rs"]
mod peak;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The published models, smaller first.
const MODELS: [&str; 7] = [
    "Qwen2-VL-2B",
    "Qwen3-VL-2B",
    "Qwen2.5-VL-3B",
    "Qwen2.5-VL-7B",
    "Qwen3-VL-8B",
    "Qwen2.5-VL-32B",
    "Qwen3-VL-32B",
];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn plan(words: &[&str]) -> Output {
    let recipe = root("docs/scale.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command
        .arg("plan")
        .arg(recipe)
        .args(words)
        .args(["--image", "560x420", "--text", "128"])
        .output()
        .unwrap()
}

/// Of a published model, with whatever code it ends.
fn json(model: &str, words: &[&str]) -> Value {
    let path = format!("model.path={}", root("tests/golden/published").join(model).display());
    let output = plan(&[&[path.as_str(), "--answer", "400", "--json"], words].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{model} {words:?}: {told}"))
}

fn gib(plan: &Value) -> f64 {
    plan["memory"]["peak"].as_f64().unwrap() / 1024f64.powi(3)
}

/// What the plan puts under a name that begins so.
fn row(plan: &Value, name: &str) -> f64 {
    let rows = plan["memory"]["bytes"].as_array().unwrap();
    let found = rows.iter().find(|row| row["what"].as_str().unwrap().starts_with(name));
    found.unwrap_or_else(|| panic!("no `{name}` in {rows:?}"))["value"].as_f64().unwrap()
}

#[test]
fn parameters_are_those_that_transformers_counts() {
    let text = std::fs::read_to_string(root("tests/golden/published/expect.json")).unwrap();
    let expect: Value = serde_json::from_str(&text).unwrap();
    for model in MODELS {
        let (found, want) = (json(model, &["--gpus", "1", "--gpu-memory", "4000"]), &expect["models"][model]);
        assert_eq!(found["parameters"], want["all"], "{model}");
        for part in ["vision", "merger"] {
            let parts = found["parts"].as_array().unwrap();
            let of = parts.iter().find(|row| row["part"] == part).unwrap();
            assert_eq!(of["parameters"], want[part], "{model}, {part}");
        }
    }
}

#[test]
fn a_shard_is_a_part_and_checkpointing_trades_memory_for_work() {
    let seven = |words: &[&str]| json("Qwen2.5-VL-7B", &[&["--gpus", "8", "--kind", "h200"], words].concat());
    let [zero, one, two] = ["0", "1", "2"].map(|stage| seven(&["--zero", stage]));
    let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} and {b}");
    close(row(&zero, "AdamW"), 8.0 * row(&one, "AdamW"));
    close(row(&zero, "f32 masters"), 8.0 * row(&two, "f32 masters"));
    close(row(&one, "gradients"), row(&zero, "gradients"));
    close(row(&one, "gradients"), 8.0 * row(&two, "gradients"));
    // Four bytes of gradient, eight of moments, four of the master, two of the weight.
    close(row(&zero, "AdamW") + row(&zero, "gradients"), 12.0 * 8_292_166_656.0);
    close(row(&zero, "weights"), 2.0 * 8_292_166_656.0);
    // PEFT counts 40,370,176 for rank 16 on these seven matrices of the 28 layers of Qwen2.5-7B.
    let adapters = seven(&["--lora", "16"]);
    assert_eq!(adapters["trained"], 40_370_176);
    assert!(gib(&adapters) < gib(&two));
    let kept = seven(&["model.checkpointing=false"]);
    assert!(row(&kept, "while updating") > 3.0 * row(&one, "while updating"));
    let (less, more) = (one["time"]["step"].as_f64().unwrap(), kept["time"]["step"].as_f64().unwrap());
    assert!(more < less, "what is kept is not computed again: {more} and {less}");
}

#[test]
fn what_cannot_fit_is_refused_with_what_would() {
    let model = format!("model.path={}", root("tests/golden/published/Qwen2.5-VL-7B").display());
    let output = plan(&[&model, "--gpus", "4", "--kind", "a100-40", "--zero", "0"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for word in ["does not fit", "40.0 GiB", "--zero 2", "half of rollout.prompts", "twice as many GPUs"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    let unknown = plan(&[&model, "--gpus", "4", "--kind", "tpu"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("one of"), "{unknown:?}");
    let alone = plan(&[&model, "--gpus", "4"]);
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--kind"), "{alone:?}");
}

/// The law of the estimate, on the smallest recipe; `examples/bench_plan.rs` has larger ones.
#[test]
#[cfg(target_os = "linux")]
fn memory_is_what_a_run_takes() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("tiny.toml");
    std::fs::write(&recipe, peak::TINY).unwrap();
    let (planned, measured) = peak::compare(Path::new(env!("CARGO_BIN_EXE_foveate")), &recipe, folder.path());
    let ratio = planned / measured;
    assert!((0.85..1.15).contains(&ratio), "planned {planned:.1} MiB, measured {measured:.1} MiB");
}

/// One line of the page: a model on 1 to 64 GPUs.
fn line(model: &str, kind: &str, words: &[&str]) -> String {
    let cell = |gpus: u32| {
        let gpus = gpus.to_string();
        let plan = json(model, &[&["--gpus", &gpus, "--kind", kind, "--zero", "2"], words].concat());
        match plan["memory"]["fits"].as_bool().unwrap() {
            true => format!("{:.0} s, {:.0} GiB", plan["time"]["step"].as_f64().unwrap(), gib(&plan)),
            false => format!("({:.0} GiB)", gib(&plan)),
        }
    };
    let cells: Vec<String> = [1, 2, 4, 8, 16, 32, 64].map(cell).into();
    format!("| {model} | {} |", cells.join(" | "))
}

/// The tables of docs/scale.md between their marks; `FOVEATE_WRITE=1` writes them anew.
#[test]
fn the_page_says_what_the_command_says() {
    let path = root("docs/scale.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut now = page.clone();
    for (mark, kind, words) in TABLES {
        let head = "| | 1 | 2 | 4 | 8 | 16 | 32 | 64 |\n|---|---|---|---|---|---|---|---|";
        let lines: Vec<String> = MODELS.iter().map(|model| line(model, kind, words)).collect();
        let (begin, end) = (format!("<!-- {mark} -->\n"), format!("\n<!-- end of {mark} -->"));
        let from = now.find(&begin).unwrap() + begin.len();
        let to = from + now[from..].find(&end).unwrap();
        now.replace_range(from..to, &format!("{head}\n{}", lines.join("\n")));
    }
    if std::env::var_os("FOVEATE_WRITE").is_some() {
        return std::fs::write(&path, &now).unwrap();
    }
    assert!(page == now, "docs/scale.md is of another time: FOVEATE_WRITE=1 writes its tables anew");
}

/// A mark in the page, a kind of GPU, further words.
const TABLES: [(&str, &str, &[&str]); 3] =
    [("full, h100", "h100", &[]), ("full, h200", "h200", &[]), ("adapters, h100", "h100", &["--lora", "16"])];
