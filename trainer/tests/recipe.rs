//! Recipes: what is read, what overrides what, and what an error says.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use foveate_trainer::recipe::{PartName, Recipe, from_text};

fn words(overrides: &[&str]) -> Vec<String> {
    overrides.iter().map(ToString::to_string).collect()
}

fn read(text: &str, overrides: &[&str]) -> Recipe {
    from_text(text, "r.toml", &words(overrides)).unwrap_or_else(|e| panic!("{e}"))
}

fn error(text: &str, overrides: &[&str]) -> String {
    let error =
        from_text(text, "r.toml", &words(overrides)).err().unwrap_or_else(|| panic!("accepted: {text}"));
    assert!(error.is_input());
    error.to_string()
}

const FULL: &str = r#"
seed = 7
out = "runs/x"

[model]
path = "tiny"
train = ["merger", "text"]

[data]
task = "shapes"

[objective]
advantage = { name = "group-z", epsilon = 1e-4 }
reduction = { name = "fixed", length = 16 }
clip_high = 0.28

[[reward]]
name = "exact"
weight = 0.9

[[reward]]
name = "format"
form = "word"
weight = 0.1

[[term]]
name = "reference-kl"
weight = 0.01
estimator = "k2"
reduction = "token-mean"

[[eval]]
task = "shapes"
corruptions = ["gaussian_noise"]
severities = [1, 5]
"#;

#[test]
fn everything_is_read() {
    let recipe = read(FULL, &[]);
    assert_eq!(recipe.seed, 7);
    assert_eq!(recipe.model.trained(), [PartName::Merger, PartName::Text]);
    assert_eq!(recipe.objective.advantage.settings["epsilon"], 1e-4);
    assert_eq!(recipe.objective.clip_high, Some(0.28));
    assert_eq!(recipe.reward[1].weight, 0.1);
    assert_eq!(recipe.term[0].weight, 0.01);
    assert_eq!(recipe.term[0].reduction.as_ref().unwrap().name, "token-mean");
    assert_eq!(recipe.eval[0].severities, [1, 5]);
    assert_eq!(recipe.eval[0].limit, 500);
}

#[test]
fn what_is_written_back_reads_the_same() {
    for recipe in [read(FULL, &[]), Recipe::default(), read("", &[])] {
        let text = toml::to_string(&recipe).unwrap();
        assert_eq!(read(&text, &[]), recipe, "{text}");
    }
}

#[test]
fn yaml_says_the_same() {
    let yaml = "seed: 7\nmodel:\n  train: [text]\nreward:\n  - name: exact\n    weight: 0.5\n";
    let recipe = from_text(yaml, "r.yaml", &[]).unwrap();
    assert_eq!((recipe.seed, recipe.reward[0].weight), (7, 0.5));
    let bad = "seed: 7\nrollout:\n  prompts: 4\n  grupo: 8\n";
    let message = from_text(bad, "r.yaml", &[]).unwrap_err().to_string();
    assert!(message.starts_with("r.yaml:4:") && message.contains("rollout.grupo"), "{message}");
}

#[test]
fn the_command_line_has_the_last_word() {
    let recipe =
        read(FULL, &["seed=8", "optim.lr=3e-4", "data.task=shapes", "train.steps=5", "term=[]", "out=a b"]);
    assert_eq!((recipe.seed, recipe.optim.lr, recipe.train.steps), (8, 3e-4, 5));
    assert!(recipe.term.is_empty());
    assert_eq!(recipe.out, std::path::PathBuf::from("a b"));
    let recipe = read("", &["objective.surrogate={name=\"sapo\", tau_neg=1.1}"]);
    assert_eq!(recipe.objective.surrogate.settings["tau_neg"], 1.1);
}

const SERVER: &str = "[rollout]\nengine = \"server\"\n[rollout.server]\nurl = \"http://h:1\"\n";

/// Recipe, overrides, and what the message must say.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

#[test]
fn errors_name_the_place_the_key_and_both_values() {
    let cases: &[Case<'_>] = &[
        ("seed = 1\n[objective]\nclip_hihg = 0.2\n", &[], &["r.toml:3", "objective.clip_hihg", "clip_high"]),
        ("\n\n[optimm]\nlr = 1\n", &[], &["r.toml:3", "optimm", "optim"]),
        ("[rollout]\n\ngroup = \"eight\"\n", &[], &["r.toml:3", "rollout.group", "eight"]),
        ("[rollout]\ngroup = 1\n", &[], &["r.toml:2", "rollout.group", "at least 2", "1"]),
        ("[rollout]\ngroup = 4\n", &["rollout.group=1"], &["command line", "rollout.group", "at least 2"]),
        ("", &["rollout.grop=1"], &["command line", "rollout.grop", "group"]),
        ("", &["rollout"], &["command line", "KEY=VALUE"]),
        ("", &["term.0.weight=1"], &["command line", "lists are set as a whole"]),
        ("[[term]]\nname = \"reference-kl\"\nestimater = \"k2\"\n", &[], &["reference-kl", "estimater"]),
        ("[[term]]\nname = \"referense\"\n", &[], &["referense", "reference-kl"]),
        ("[[reward]]\nname = \"exact\"\nweight = \"big\"\n", &[], &["r.toml:1", "exact", "weight", "big"]),
        ("[[reward]]\nweight = 1\n", &[], &["r.toml:1", "name"]),
        ("[objective]\nsurrogate = \"sapo\"\nclip_low = 0.2\n", &[], &["sapo", "clip_low"]),
        ("[[eval]]\ntask = \"shapes\"\ncorruptions = [\"fogg\"]\n", &[], &["r.toml:3", "fogg"]),
        ("[[eval]]\ntask = \"shapes\"\nseverities = [6]\n", &[], &["r.toml:3", "between 1 and 5", "6"]),
        ("[data]\ntask = \"shape\"\n", &[], &["r.toml:2", "shape", "easy-vqa"]),
        ("[optim]\nupdates = 9\n[rollout]\nprompts = 8\n", &[], &["r.toml:2", "optim.updates", "8", "9"]),
        ("[[view]]\nname = \"picked\"\ncorruptions = [\"fog\"]\n", &[], &["r.toml:2", "picked"]),
        ("[[view]]\nname = \"a\"\ncorruptions = [\"fogg\"]\n", &[], &["r.toml:3", "fogg"]),
        ("[[term]]\nname = \"view-kl\"\nviews = [\"b\"]\n", &[], &["r.toml:1", "`b`", "[[view]]"]),
        ("[rollout]\nengine = \"vllm\"\n", &[], &["r.toml:2", "rollout.engine", "vllm"]),
        ("[rollout]\nengine = \"server\"\n", &[], &["r.toml:2", "rollout.engine", "[rollout.server]"]),
        (
            "[rollout.server]\nurl = \"h:1\"\n",
            &[],
            &["r.toml:2", "rollout.server.url", "http://HOST:PORT", "h:1"],
        ),
        (SERVER, &["rollout.server.concurrency=0"], &["command line", "concurrency", "at least 1"]),
        (SERVER, &["rollout.server.sync=pigeon"], &["rollout.server.sync", "pigeon"]),
        (SERVER, &["rollout.turns.max=2"], &["rollout.turns", "absent where `rollout.engine` is `server`"]),
        (
            SERVER,
            &["objective.correction={name=\"token-mask\", high=0.5}"],
            &["token-mask", "at least 1", "0.5"],
        ),
        ("[model]\ndevice = \"gpu\"\n", &[], &["r.toml:2", "model.device", "cuda:N", "gpu"]),
        ("[model]\ndtype = \"f16\"\n", &[], &["r.toml:2", "model.dtype", "bf16", "f16"]),
        ("seed = \n", &[], &["r.toml", "1"]),
    ];
    for (text, overrides, parts) in cases {
        let message = error(text, overrides);
        for part in *parts {
            assert!(message.contains(part), "`{message}` does not say `{part}`");
        }
    }
}

/// No machine has so many; without the feature `cuda` no machine has any.
#[test]
fn a_gpu_without_a_number_is_the_ranks_own() {
    for (device, gpu, expected) in [("cuda", 4094, "cuda:4094"), ("cuda:4095", 4094, "cuda:4095")] {
        let mut recipe = read(&format!("[model]\ndevice = {device:?}\n"), &[]);
        recipe.model.gpu = gpu;
        let error = recipe.model.placement().unwrap_err();
        assert!(error.is_input() && error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn the_recipes_of_the_examples_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            foveate_trainer::recipe::from_file(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
            read += 1;
        }
    }
    assert!(read >= 9, "{read}");
}

#[test]
fn the_number_of_keys_is_kept_in_check() {
    fn count(value: &serde_json::Value) -> usize {
        value.as_object().map_or(1, |table| table.values().map(count).sum())
    }
    let mut value = serde_json::to_value(Recipe::default()).unwrap();
    for list in ["reward", "view", "term", "eval"] {
        value.as_object_mut().unwrap().remove(list);
    }
    assert!(count(&value) <= 45, "{}", count(&value));
}
