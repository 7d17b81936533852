//! A run of conversations that is killed, not stopped: `kill -9` at random moments, then `--resume`, gives the
//! bytes of the run that was left alone.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The example's recipe, at a size for tests.
const WORDS_OF_RECIPE: [&str; 12] = [
    "model.path=model",
    "data.size=224",
    "rollout.prompts=3",
    "rollout.group=3",
    "rollout.max_tokens=24",
    "optim.updates=2",
    "optim.lr=1e-3",
    "warmup.steps=3",
    "warmup.images=2",
    "train.steps=6",
    "train.checkpoint_every=1",
    "eval=[{task=\"search\", limit=3}]",
];

const LAST: &str = "checkpoints/step-000009";

fn train(dir: &Path, run: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.current_dir(dir).arg("train").stdout(Stdio::null()).stderr(Stdio::piped());
    match dir.join(run).join("recipe.resolved.toml").is_file() {
        true => command.args(["--resume", run]),
        false => {
            let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/recipes/mgpo.toml");
            command.arg(recipe).args(WORDS_OF_RECIPE).arg(format!("out={run}"))
        }
    };
    command
}

fn finish(dir: &Path, run: &str) {
    let output = train(dir, run).output().unwrap();
    assert!(output.status.success(), "{run}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn conversations_killed_at_random_moments_end_in_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let spec = TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen3Vl) };
    tiny::write(&dir.join("model"), &spec).unwrap();
    let clock = Instant::now();
    finish(dir, "whole");
    let whole = clock.elapsed();
    // Moments that no one chose: a new set each time the test runs.
    let mut noise = u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    let (mut kills, mut moments) = (0, vec![]);
    while kills < 5 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = whole.mul_f64((noise >> 33) as f64 / (1u64 << 31) as f64 * 0.4);
        moments.push(life);
        let mut child = train(dir, "killed").spawn().unwrap();
        std::thread::sleep(life.max(Duration::from_millis(5)));
        child.kill().unwrap(); // SIGKILL: nothing of the program runs after it.
        if child.wait().unwrap().success() {
            // It was done before the kill came: once more from the start.
            std::fs::remove_dir_all(dir.join("killed")).unwrap();
            continue;
        }
        kills += 1;
    }
    finish(dir, "killed");
    let read = |run: &str, file: &str| std::fs::read(dir.join(run).join(file)).unwrap();
    for file in ["model.safetensors", "trainer/optimizer.safetensors", "trainer/progress.json"] {
        let file = format!("{LAST}/{file}");
        assert!(read("whole", &file) == read("killed", &file), "{file}, killed at {moments:?} of {whole:?}");
    }
    let completions = String::from_utf8(read("whole", "completions.jsonl")).unwrap();
    assert!(completions.contains("\"turns\":[{\"reply\":"), "{completions}");
    assert!(completions.as_bytes() == read("killed", "completions.jsonl"), "killed at {moments:?} of {whole:?}");
}
