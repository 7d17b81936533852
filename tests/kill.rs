//! A run that is killed, not stopped: `kill -9` at random moments, then `--resume`, gives the bytes of the
//! run that was left alone.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// GRPO with PAPO and ROMA, two updates a step, on a very small model.
const PAPO_ROMA: &str = r#"
[data]
task = "shapes"
size = 56

[rollout]
prompts = 4
group = 4
max_tokens = 4

[[view]]
name = "mask"
corruptions = ["block_mask"]
severities = [3]

[[view]]
name = "one"
corruptions = ["roma-seen"]

[[view]]
name = "two"
corruptions = ["roma-seen"]

[[term]]
name = "view-kl"
views = ["mask"]
fidelity = "authors"
weight = -0.01

[[term]]
name = "view-kl"
views = ["one", "two"]
through = "view"
weight = 0.03

[[term]]
name = "view-policy"
view = "picked"
weight = 0.5

[[term]]
name = "reference-kl"
weight = 0.01

[[eval]]
task = "shapes"
limit = 4
"#;

/// MGPO: two turns with a closer look between them.
const MGPO: &str = r#"
[data]
task = "search"
size = 224

[rollout]
prompts = 2
group = 3
max_tokens = 8

[rollout.turns]
script = "brief"

[[term]]
name = "entropy"
weight = -0.01

[[eval]]
task = "search"
limit = 2
"#;

const COMMON: &str = r#"
[optim]
lr = 1e-3
updates = 2

[warmup]
steps = 3
images = 2
questions = 2

[train]
steps = 6
checkpoint_every = 1
eval_every = 2
"#;

const LAST: &str = "checkpoints/step-000009";

struct Place(tempfile::TempDir);

impl Place {
    fn new(recipe: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let spec = TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
        tiny::write(&place.at("model"), &spec).unwrap();
        let recipe = format!("seed = 5\nmodel.path = \"model\"\n{recipe}{COMMON}");
        std::fs::write(place.at("recipe.toml"), recipe).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn foveate(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.current_dir(self.0.path()).arg("train").args(words);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn finish(&self, words: &[&str]) {
        let output = self.foveate(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The lines of a run's metrics without what a clock says.
    fn metrics(&self, run: &str) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.read(&format!("{run}/metrics.jsonl"))).unwrap();
        let timeless = |line: &str| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().retain(|name, _| !name.starts_with("time/"));
            value
        };
        text.lines().map(timeless).collect()
    }
}

fn started(run: &Path) -> bool {
    run.join("recipe.resolved.toml").is_file()
}

#[test]
fn a_run_of_papo_and_roma_killed_at_random_moments_ends_in_the_same_bytes() {
    killed(PAPO_ROMA);
}

#[test]
fn a_run_of_mgpo_killed_at_random_moments_ends_in_the_same_bytes() {
    killed(MGPO);
}

fn killed(recipe: &str) {
    let place = Place::new(recipe);
    let clock = Instant::now();
    place.finish(&["recipe.toml", "out=whole"]);
    let whole = clock.elapsed();
    // Moments that no one chose: a new set each time the test runs.
    let mut noise = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos() as usize;
    let (mut kills, mut moments) = (0, vec![]);
    while kills < 5 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Each life may reach into any part of what is left, also past its end.
        let life = whole.mul_f64((noise >> 33) as f64 / (1u64 << 31) as f64 * 0.4);
        let words: &[&str] = match started(&place.at("killed")) {
            true => &["--resume", "killed"],
            false => &["recipe.toml", "out=killed"],
        };
        let mut child = place.foveate(words).spawn().unwrap();
        std::thread::sleep(life.max(Duration::from_millis(5)));
        // SIGKILL: nothing of the program runs after it.
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        moments.push(life);
        if ended.success() {
            // It was done before the kill came: once more from the start.
            std::fs::remove_dir_all(place.at("killed")).unwrap();
            continue;
        }
        kills += 1;
    }
    match started(&place.at("killed")) {
        true => place.finish(&["--resume", "killed"]),
        false => place.finish(&["recipe.toml", "out=killed"]),
    }
    for file in ["model.safetensors", "trainer/optimizer.safetensors", "trainer/progress.json"] {
        let of = |run: &str| place.read(&format!("{run}/{LAST}/{file}"));
        assert!(of("whole") == of("killed"), "{file} differs after kills at {moments:?} of {whole:?}");
    }
    assert_eq!(place.metrics("whole"), place.metrics("killed"), "after kills at {moments:?}");
    for file in ["completions.jsonl", "evaluations.jsonl", "best"] {
        assert!(place.read(&format!("whole/{file}")) == place.read(&format!("killed/{file}")), "{file}");
    }
}
