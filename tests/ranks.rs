//! `foveate train` as several processes: over TCP, and with the feature `mpi` under mpirun as well. A rank
//! that is killed ends the others by name.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The terms of the recipes, and entropy, which has a gradient at every step. Where all answers are worth the
/// same the gradient would be rounding errors alone, of which AdamW makes whole steps.
const GRPO: &str = r#"term=[{name="reference-kl", weight=0.04}, {name="entropy", weight=-0.01}]"#;
const ROMA: &str = r#"term=[{name="view-kl", views=["one", "two"], through="view", worst="token", scope="correct", weight=0.03}, {name="view-policy", view="picked", scope="correct", weight=0.5}, {name="entropy", weight=-0.01}]"#;

/// Small enough to take seconds; twenty steps of the two stages together.
const SMALL: &[&str] = &[
    "reward=[{name=\"exact\"}, {name=\"format\", weight=0.5}]",
    "warmup.lr=2e-4",
    "optim.lr=2e-5",
    "data.size=56",
    "rollout.prompts=5",
    "rollout.group=4",
    "rollout.max_tokens=4",
    "warmup.steps=4",
    "warmup.images=3",
    "warmup.questions=2",
    "train.steps=16",
    "train.checkpoint_every=0",
    "eval=[]",
    "ranks.deadline_s=60",
    "model.path=model",
];

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let spec = TinySpec { words: WORDS, ..TinySpec::laws(Family::Qwen3Vl) };
        tiny::write(&place.at("raw"), &spec).unwrap();
        // Of a model that has learnt nothing every token is about as likely as the next, and a draw lies
        // within rounding of the bound between two of them often enough.
        let taught = ["warmup.steps=60", "warmup.lr=3e-3", "warmup.images=8", "warmup.questions=4"];
        let more = [&["model.path=raw", "train.steps=0", "seed=3"][..], &taught].concat();
        alone(&place, &place.words("grpo", "taught", &more));
        let latest = std::fs::read_to_string(place.at("taught/latest")).unwrap();
        std::fs::rename(place.at("taught").join(latest.trim()), place.at("model")).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn words(&self, name: &str, out: &str, more: &[&str]) -> Vec<String> {
        let recipe = format!("{}/examples/recipes/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let term = if name == "roma" { &ROMA } else { &GRPO };
        let words = SMALL.iter().chain([term]).chain(more).map(ToString::to_string);
        ["train".into(), recipe, format!("out={out}")].into_iter().chain(words).collect()
    }

    fn weights(&self, out: &str) -> BTreeMap<String, Vec<f32>> {
        let latest = std::fs::read_to_string(self.at(out).join("latest")).unwrap();
        let file = std::fs::read(self.at(out).join(latest.trim()).join("model.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let values = |data: &[u8]| {
            data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        tensors.tensors().into_iter().map(|(name, view)| (name, values(view.data()))).collect()
    }

    fn losses(&self, out: &str) -> Vec<f64> {
        let text = std::fs::read_to_string(self.at(out).join("metrics.jsonl")).unwrap();
        let loss =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss/total"].as_f64();
        text.lines().map(|line| loss(line).unwrap()).collect()
    }
}

fn foveate(place: &Path, words: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    command.current_dir(place).args(words).stdout(Stdio::null()).stderr(Stdio::piped());
    // A launcher of the tests themselves is none of theirs.
    for name in ["RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
        command.env_remove(name);
    }
    command
}

/// Rank `rank` of two, as a person starts it in a shell, or torchrun.
fn of_two(place: &Path, words: &[String], rank: usize, port: u16) -> Child {
    let mut command = foveate(place, words);
    command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2").env("RAYON_NUM_THREADS", "1");
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command.spawn().unwrap()
}

/// Two ranks over TCP.
fn two(place: &Path, words: &[String]) -> [Child; 2] {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    [0, 1].map(|rank| of_two(place, words, rank, port))
}

/// What a process said when it ended, and whether it ended well.
fn end(mut child: Child) -> (bool, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().success(), said)
}

/// Runs `words` to the end.
type Launcher = fn(&Place, &[String]);

fn alone(place: &Place, words: &[String]) {
    let (well, said) = end(foveate(place.0.path(), words).spawn().unwrap());
    assert!(well, "{words:?}: {said}");
}

fn over_tcp(place: &Place, words: &[String]) {
    for (rank, child) in two(place.0.path(), words).into_iter().enumerate() {
        let (well, said) = end(child);
        assert!(well, "rank {rank} of {words:?}: {said}");
    }
}

#[cfg(feature = "mpi")]
fn mpirun(place: &Path, words: &[String]) -> Child {
    let mut command = Command::new("mpirun");
    // Containers run as root, and have fewer cores than ranks; neither is a concern here.
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", "2"]);
    command.arg(env!("CARGO_BIN_EXE_foveate")).args(words).current_dir(place);
    command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|e| panic!("mpirun: {e}"))
}

#[cfg(feature = "mpi")]
fn over_mpi(place: &Place, words: &[String]) {
    let (well, said) = end(mpirun(place.0.path(), words));
    assert!(well, "mpirun {words:?}: {said}");
}

const TWO: &[(&str, Launcher)] = &[
    ("tcp", over_tcp),
    #[cfg(feature = "mpi")]
    ("mpi", over_mpi),
];

/// How far two runs are apart: in losses, and in weights.
fn gaps(place: &Place, a: &str, b: &str) -> (f64, f32) {
    let (one, two) = (place.losses(a), place.losses(b));
    assert_eq!((one.len(), two.len()), (20, 20));
    let loss = one.iter().zip(two).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let mut weight = 0.0f32;
    let two = place.weights(b);
    for (name, one) in place.weights(a) {
        assert_eq!(one.len(), two[&name].len(), "{name}");
        weight = one.iter().zip(&two[&name]).map(|(a, b)| (a - b).abs()).fold(weight, f32::max);
    }
    (loss, weight)
}

#[test]
fn two_processes_make_the_losses_and_weights_of_one() {
    let place = Place::new();
    for method in ["grpo", "roma"] {
        let one = format!("{method}-one");
        alone(&place, &place.words(method, &one, &[]));
        for (name, launch) in TWO {
            let out = format!("{method}-{name}");
            launch(&place, &place.words(method, &out, &[]));
            let (loss, weight) = gaps(&place, &one, &out);
            eprintln!("{method} over {name}: losses differ by {loss:e}, weights by {weight:e}");
            assert!(loss < 1e-5 && weight < 1e-5, "{method} over {name}: {loss:e}, {weight:e}");
        }
    }
    // Whatever carries the messages, the bytes are the same.
    for (name, _) in TWO {
        assert!(place.weights("grpo-tcp") == place.weights(&format!("grpo-{name}")), "{name}");
    }
}

#[test]
fn checkpoints_of_two_processes_go_on_in_one_and_back() {
    let place = Place::new();
    alone(&place, &place.words("grpo", "one", &[]));
    let steps = |steps: u64| format!("train.steps={steps}");
    for (name, launch) in TWO {
        // The rate is constant, so that a run that is to be longer is the same up to there.
        launch(&place, &place.words("grpo", name, &[&steps(3)]));
        let resume = |last: u64| ["train", "--resume", name, &steps(last)].map(String::from);
        alone(&place, &resume(9));
        launch(&place, &resume(16));
        let (loss, weight) = gaps(&place, "one", name);
        eprintln!("over {name} and alone and over {name}: losses {loss:e}, weights {weight:e}");
        assert!(loss < 1e-5 && weight < 1e-5, "{name}: {loss:e}, {weight:e}");
    }
}

/// Waits until a run has done a step.
fn begun(run: &Path) {
    let clock = Instant::now();
    while !std::fs::read_to_string(run.join("metrics.jsonl")).is_ok_and(|text| text.contains('\n')) {
        assert!(clock.elapsed() < Duration::from_secs(60), "no step within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_rank_that_is_killed_ends_the_other_by_name_and_loses_nothing() {
    let place = Place::new();
    for killed in [0, 1] {
        let out = format!("killed-{killed}");
        let long = ["train.steps=100000", "train.checkpoint_every=1"];
        let mut ranks = two(place.0.path(), &place.words("grpo", &out, &long)).map(Some);
        begun(&place.at(&out));
        let mut victim = ranks[killed].take().unwrap();
        // SIGKILL: nothing of the program runs after it.
        victim.kill().unwrap();
        victim.wait().unwrap();
        let clock = Instant::now();
        let (well, said) = end(ranks[1 - killed].take().unwrap());
        assert!(!well && said.contains(&format!("rank {killed} was lost: ")), "{said}");
        assert!(clock.elapsed() < Duration::from_secs(20), "{:?}", clock.elapsed());
        let resume = ["train".into(), "--resume".into(), out.clone(), "train.steps=1".into()];
        alone(&place, &resume);
    }
}

#[cfg(feature = "mpi")]
#[test]
fn a_rank_of_mpi_that_is_killed_ends_the_other_by_name() {
    let place = Place::new();
    for killed in [0, 1] {
        let out = format!("killed-{killed}");
        let child = mpirun(place.0.path(), &place.words("grpo", &out, &["train.steps=100000"]));
        begun(&place.at(&out));
        let victim = rank_of(&place, &out, killed);
        Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap();
        let clock = Instant::now();
        let (well, said) = end(child);
        assert!(!well && said.contains(&format!("rank {killed} was lost: ")), "{said}");
        assert!(clock.elapsed() < Duration::from_secs(20), "{:?}", clock.elapsed());
    }
}

/// The process of a rank, which its environment tells.
#[cfg(feature = "mpi")]
fn rank_of(place: &Place, out: &str, rank: usize) -> u32 {
    let (mine, word) = (format!("OMPI_COMM_WORLD_RANK={rank}"), format!("out={out}"));
    let here = place.0.path().canonicalize().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let of = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let has = |file: &str, word: &str| of(file).split(|&b| b == 0).any(|one| one == word.as_bytes());
        let there = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == here);
        if there && has("cmdline", &word) && has("environ", &mine) {
            return entry.file_name().to_string_lossy().parse().unwrap();
        }
    }
    panic!("no rank {rank}")
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let words = place.words("grpo", "out", &["ranks.deadline_s=1"]);
    let (well, said) = end(of_two(place.0.path(), &words, 0, port));
    assert!(!well && said.contains("ranks [1] of 2 did not join"), "{said}");
    let mut broken = foveate(place.0.path(), &words);
    let output = broken.env("RANK", "two").env("WORLD_SIZE", "2").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`RANK` should be a whole number, but is `two`"), "{said}");
    assert!(!place.at("out").exists());
}
