//! What a training run takes at most, and what `foveate plan` says it would.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A run of the built-in model that is over in seconds; answers have their full length.
pub const TINY: &str = r#"
[data]
task = "shapes"
size = 112

[rollout]
prompts = 16
group = 8
max_tokens = 8
min_tokens = 8

[optim]
lr = 1e-4

[train]
steps = 2
checkpoint_every = 0
"#;

const MIB: f64 = 1048576.0;

/// MiB: what is planned for a recipe and the largest resident size of its run, which writes to `folder`/run.
pub fn compare(foveate: &Path, recipe: &Path, folder: &Path) -> (f64, f64) {
    let output = Command::new(foveate).arg("plan").arg(recipe).arg("--json").output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    let out = format!("out={}", folder.join("run").display());
    let mut run = Command::new(foveate);
    run.arg("train").arg(recipe).arg(out).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = run.spawn().unwrap();
    let (mut most, status) = (0.0, format!("/proc/{}/status", child.id()));
    let code = loop {
        most = resident(&status).unwrap_or(0.0).max(most);
        match child.try_wait().unwrap() {
            Some(code) => break code,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(code.success(), "{}", std::io::read_to_string(child.stderr.take().unwrap()).unwrap());
    (plan["memory"]["peak"].as_f64().unwrap() / MIB, most)
}

/// `VmHWM`, which only rises: the last look before the end misses a moment at most.
fn resident(status: &str) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}
