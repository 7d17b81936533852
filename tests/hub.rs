//! Names of the hub wherever a model or data may stand, against a server of this machine.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "../hub/tests/support/server.rs"]
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec};
use serde_json::json;
use server::{Repo, Server, commit};
use tempfile::TempDir;

/// What the tiny model needs of its repository.
const MODEL: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "model-00001-of-00001.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// A folder with a model and data, the same on a hub, and a cache that is empty.
struct Place {
    folder: TempDir,
    server: Server,
}

impl Place {
    fn new() -> Self {
        Self::with(|_| vec![])
    }

    /// With further repositories, made of what is in the folder.
    fn with(more: impl FnOnce(&Path) -> Vec<Repo>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let spec = TinySpec { words: tiny::WORDS, ..TinySpec::laws(Family::Qwen2_5Vl) };
        tiny::write(&at("local"), &spec).unwrap();
        let picture = image::RgbImage::from_fn(70, 56, |x, y| image::Rgb([x as u8 * 3, y as u8 * 4, 90]));
        picture.save(at("cat.png")).unwrap();
        let ask = json!([{"type": "image", "image": "cat.png"}, {"type": "text", "text": "What is it?"}]);
        let row = json!({"id": 1, "messages": [{"role": "user", "content": ask}], "completion": "a cat"});
        fs::write(at("in.jsonl"), format!("{row}\n")).unwrap();
        let mut repos = vec![model(&at("local")), data(&at("cat.png"))];
        repos.extend(more(folder.path()));
        Self { server: Server::start(repos), folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        for name in
            ["HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
        {
            command.env_remove(name);
        }
        command.env("HF_HOME", self.at("hf")).env("HF_ENDPOINT", self.server.endpoint());
        command.envs(variables.iter().copied()).current_dir(self.folder.path()).args(words).output().unwrap()
    }

    fn done(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(words, variables);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(words, variables);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        said
    }

    /// Names of the files of which bytes were asked for, since the last call.
    fn fetched(&self) -> Vec<String> {
        let asked = self.server.asked().into_iter().filter(|asked| asked.method == "GET");
        let files = asked.filter(|asked| asked.host == "files" || asked.path.contains("/resolve/"));
        let name = |path: &str| path.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        let mut names: Vec<String> = files.map(|asked| name(&asked.path)).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// A model's repository as published: weights in shards, and again in the old format.
fn model(dir: &Path) -> Repo {
    let mut files =
        vec![("pytorch_model.bin".to_owned(), vec![0; 9000]), ("README.md".into(), b"# tiny".to_vec())];
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let (name, bytes) = (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        if name != "model.safetensors" {
            files.push((name, bytes));
            continue;
        }
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let tensors = header.as_object().unwrap().keys().filter(|name| *name != "__metadata__");
        let map: serde_json::Map<_, _> = tensors.map(|name| (name.clone(), json!(MODEL[2]))).collect();
        files.push((MODEL[3].into(), json!({"metadata": {}, "weight_map": map}).to_string().into_bytes()));
        files.push((MODEL[2].into(), bytes));
    }
    Repo::new("models", "org/tiny", files)
}

/// A repository of data: two splits, pictures beside their rows.
fn data(picture: &Path) -> Repo {
    let rows = |split: &str, count: u32| {
        let row = |k: u32| json!({"id": format!("{split}{k}"), "problem": format!("<image>Which {k}?"), "answer": k.to_string(), "images": ["pictures/cat.png"]});
        (0..count).map(|k| format!("{}\n", row(k))).collect::<String>().into_bytes()
    };
    let files = vec![
        ("pictures/cat.png".into(), fs::read(picture).unwrap()),
        ("train.jsonl".into(), rows("train", 6)),
        ("test.jsonl".into(), rows("test", 4)),
        ("README.md".into(), b"# data".to_vec()),
    ];
    Repo::new("datasets", "org/set", files)
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

const OFFLINE: [(&str, &str); 1] = [("HF_HUB_OFFLINE", "1")];

#[test]
fn a_name_scores_as_its_directory_does_and_fetches_what_is_needed_once() {
    let place = Place::new();
    place.done(&words("score --model local in.jsonl --out here.jsonl"), &[]);
    assert_eq!(place.server.asked(), [], "a path asks nobody");
    place.done(&words("score --model org/tiny in.jsonl --out there.jsonl"), &[]);
    assert_eq!(fs::read(place.at("here.jsonl")).unwrap(), fs::read(place.at("there.jsonl")).unwrap());
    let fetched = place.fetched();
    MODEL.iter().for_each(|file| assert!(fetched.contains(&(*file).to_owned()), "{file} of {fetched:?}"));
    assert!(!fetched.iter().any(|file| file.ends_with(".bin") || file.ends_with(".md")), "{fetched:?}");

    let pinned = format!("generate --model org/tiny@{} in.jsonl --out out.jsonl --max-tokens 2", commit('a'));
    place.done(&words(&pinned), &OFFLINE);
    assert_eq!(place.server.asked(), [], "offline asks nobody");
    let told = place.refused(&words("score --model org/tiny@v1 in.jsonl --out x.jsonl"), &OFFLINE);
    assert!(
        told.contains("HF_HUB_OFFLINE") && told.contains("`v1`") && told.contains("models--org--tiny"),
        "{told}"
    );
}

#[test]
fn what_is_no_name_or_is_not_there_is_said() {
    let place = Place::new();
    fs::create_dir(place.at("runs")).unwrap();
    let told = place.refused(&words("score --model runs/absent in.jsonl --out x.jsonl"), &[]);
    assert!(told.contains("runs/absent"), "{told}");
    assert_eq!(place.server.asked(), [], "a folder that is here means paths");
    let told = place.refused(&words("score --model org/absent in.jsonl --out x.jsonl"), &[]);
    assert!(told.contains("there is no model org/absent") && told.contains("no path `org/absent`"), "{told}");
    let told = place.refused(&words("score --model hf://org in.jsonl --out x.jsonl"), &[]);
    assert!(told.contains("hf://ORG/NAME@REVISION"), "{told}");
    let told = place.refused(&words("prep import org/set@dev --out data"), &[]);
    assert!(told.contains("split `dev`") && told.contains("train.jsonl"), "{told}");
    // A path that is here goes before the hub.
    fs::create_dir(place.at("org")).unwrap();
    fs::rename(place.at("local"), place.at("org/tiny")).unwrap();
    place.server.asked();
    place.done(&words("score --model org/tiny in.jsonl --out here.jsonl"), &[]);
    assert_eq!(place.server.asked(), []);
}

#[test]
fn data_by_name_imports_and_is_a_task() {
    let place = Place::new();
    place.done(&words("prep import org/set@train --out data"), &[]);
    assert_eq!(place.fetched(), ["cat.png", "train.jsonl"]);
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(place.at("data/import.json")).unwrap()).unwrap();
    assert_eq!(report["report"]["rows_out"].as_u64().or(report["rows_out"].as_u64()), Some(6), "{report}");
    let stats = place.done(&words("prep stats org/set@test --model org/tiny --json"), &[]);
    assert!(stats.contains("\"rows\": 4"), "{stats}");
    assert!(!place.fetched().iter().any(|file| file.ends_with(".safetensors")), "no weights to count tokens");
    place.done(
        &words("eval --task data --data org/set@test --model org/tiny --max-tokens 2 --out evaluated"),
        &[],
    );
    let records = fs::read_to_string(place.at("evaluated/records.jsonl")).unwrap();
    assert_eq!(records.lines().count(), 4);
    assert!(records.contains("\"model\":\"tiny@"), "{records}");
}

#[test]
fn a_run_keeps_the_commits_of_what_its_recipe_names() {
    let place = Place::new();
    let recipe = "train_me.toml";
    let text = "out = \"run\"\n[model]\npath = \"org/tiny\"\n[data]\ntask = \"data\"\npath = \"org/set@train:v1\"\n[rollout]\nprompts = 2\ngroup = 2\nmax_tokens = 2\n[train]\nsteps = 1\n";
    fs::write(place.at(recipe), text).unwrap();
    let planned = place.refused(&["plan", recipe], &[]);
    assert!(planned.contains("--image WIDTHxHEIGHT"), "{planned}");
    place.done(&["plan", recipe, "--image", "70x56"], &[]);
    let sizes = place.fetched();
    assert!(sizes.contains(&"config.json".into()) && sizes.len() <= 3, "sizes alone: {sizes:?}");
    place.done(&["train", recipe], &[]);
    place.done(&["plan", recipe], &[]);
    let resolved = fs::read_to_string(place.at("run/recipe.resolved.toml")).unwrap();
    for pinned in [format!("org/tiny@{}", commit('a')), format!("org/set@train:{}", commit('b'))] {
        assert!(resolved.contains(&pinned), "{pinned} in {resolved}");
    }
    place.done(&["train", "--resume", "run", "train.steps=2"], &OFFLINE);
}

const ADAPTER: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// An adapter of a short run, in `adapter` and as a repository beside a file that nobody needs.
fn adapter(folder: &Path) -> Repo {
    let text = "out = \"run\"\n[model]\npath = \"local\"\n[model.lora]\nrank = 2\n[data]\ntask = \"shapes\"\nsize = 56\n[rollout]\nprompts = 2\ngroup = 2\nmax_tokens = 2\n[[term]]\nname = \"entropy\"\nweight = -0.1\n[optim]\nlr = 0.01\n[train]\nsteps = 2\n";
    fs::write(folder.join("lora.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    let output = command.current_dir(folder).args(["train", "lora.toml"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(folder.join("run/checkpoints/step-000002"), folder.join("adapter")).unwrap();
    let file = |name: &str| (name.to_owned(), fs::read(folder.join("adapter").join(name)).unwrap());
    let files = vec![file(ADAPTER[0]), file(ADAPTER[1]), ("training_args.bin".into(), vec![0; 9000])];
    Repo::new("models", "org/adapter", files)
}

#[test]
fn an_adapter_has_a_name_too_and_a_run_that_trains_one_goes_on_from_it() {
    let place = Place::with(|folder| vec![adapter(folder)]);
    let score = |words_: &str| {
        place.done(&words(&format!("score --model org/tiny in.jsonl --out out.jsonl{words_}")), &[]);
        fs::read(place.at("out.jsonl")).unwrap()
    };
    let (bare, here) = (score(""), score(" --adapter adapter"));
    place.fetched();
    assert!(score(" --adapter org/adapter") == here && here != bare);
    assert_eq!(place.fetched(), ADAPTER);
    place.done(&words("generate --model org/tiny --adapter org/adapter in.jsonl --out g.jsonl"), &OFFLINE);
    place.done(&words("merge org/tiny --adapter org/adapter --out merged"), &OFFLINE);
    place.done(&words("score --model merged in.jsonl --out out.jsonl"), &[]);
    place.done(
        &words("eval --task data --data org/set@test --model org/tiny --adapter org/adapter --max-tokens 2 --out evaluated"),
        &[],
    );
    let records = fs::read_to_string(place.at("evaluated/records.jsonl")).unwrap();
    assert!(records.contains("\"model\":\"tiny@") && records.contains("+adapter@"), "{records}");
    // A model where an adapter should be has not its files.
    let told = place.refused(&words("score --model org/tiny --adapter org/tiny in.jsonl --out x.jsonl"), &[]);
    assert!(told.contains("org/tiny") && told.contains(ADAPTER[0]), "{told}");

    let text = fs::read_to_string(place.at("lora.toml")).unwrap().replace("[model.lora]\nrank = 2\n", "");
    let further =
        text.replace("\"local\"", "\"org/tiny\"\nadapter = \"org/adapter\"").replace("\"run\"", "\"more\"");
    fs::write(place.at("further.toml"), further).unwrap();
    place.done(&["train", "further.toml", "train.steps=1"], &[]);
    let resolved = fs::read_to_string(place.at("more/recipe.resolved.toml")).unwrap();
    for pinned in ["tiny", "adapter"].map(|name| format!("org/{name}@{}", commit('a'))) {
        assert!(resolved.contains(&pinned), "{pinned} in {resolved}");
    }
    // The model is no part of a checkpoint: a run that goes on finds it where it was.
    place.done(&["train", "--resume", "more", "train.steps=2"], &OFFLINE);
}
