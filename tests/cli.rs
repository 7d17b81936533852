//! The command as a user meets it: files in, files out, exit codes, messages.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

#[path = "support/place.rs"]
mod place;

use std::fs;
use std::path::Path;
use std::process::Command;

use foveate_augment::{CORRUPTIONS, Corruption, Dose, Limits, Severity, open, parse};
use foveate_vision::config::Family;
use place::{GENERATE, Place, SCORE, agree, answered, close, edit, end_in_nan, numbers, question, replace};
use serde_json::{Value, json};

#[test]
fn scores_do_not_depend_on_order_or_batches() {
    let place = Place::new(Family::Qwen2_5Vl);
    let mut rows = vec![
        answered("a", "What is it?", "a cat"),
        answered(7, "And where?", "left"),
        answered("b", "What is it?", "a big dog, no?"),
    ];
    rows.push(json!({"id": "text", "messages": [{"role": "user", "content": "Hello"}], "completion": "Hi"}));
    place.write("in.jsonl", &rows);
    place.done(&SCORE);
    let together = place.rows("out.jsonl");
    assert_eq!(
        together.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(),
        [json!("a"), json!(7), json!("b"), json!("text")]
    );
    assert_eq!(together[0]["prompt_ids"], together[2]["prompt_ids"]);
    rows.reverse();
    place.write("in.jsonl", &rows);
    place.done(&[&SCORE[..], &["--token-budget", "1"]].concat());
    for (row, alone) in together.iter().zip(place.rows("out.jsonl").iter().rev()) {
        assert_eq!(row["completion_ids"], alone["completion_ids"]);
        assert_eq!(numbers(&row["logprobs"]).len(), row["completion_ids"].as_array().unwrap().len());
        close(&row["logprobs"], &alone["logprobs"]);
        close(&row["entropy"], &alone["entropy"]);
        assert!(numbers(&row["logprobs"]).iter().all(|&logp| logp < 0.0));
    }
    assert!(!place.at("out.jsonl.part").exists());
}

#[test]
fn the_closing_token_is_scored_once() {
    let place = Place::new(Family::Qwen2Vl);
    place.write("in.jsonl", &[answered(1, "?", "yes"), answered(2, "?", "yes<|im_end|>")]);
    place.done(&SCORE);
    let rows = place.rows("out.jsonl");
    assert_eq!(rows[0]["completion_ids"], rows[1]["completion_ids"]);
    close(&rows[0]["logprobs"], &rows[1]["logprobs"]);
}

#[test]
fn generation_and_scoring_agree_in_every_family() {
    for family in [Family::Qwen2Vl, Family::Qwen2_5Vl, Family::Qwen3Vl] {
        let place = Place::new(family);
        place.write("in.jsonl", &[question("a", "What is it?"), question("b", "Where?")]);
        let sampled = [&GENERATE[..], &["--max-tokens", "5", "--n", "16", "--temperature", "0.7"]].concat();
        place.done(&sampled);
        let answers = place.rows("out.jsonl");
        let keys: Vec<_> = answers.iter().map(|row| (row["id"].clone(), row["index"].clone())).collect();
        let expected = ["a", "b"].into_iter().flat_map(|id| (0..16).map(move |n| (json!(id), json!(n))));
        assert_eq!(keys, expected.collect::<Vec<_>>());
        for answer in &answers {
            assert!(["stop", "length"].contains(&answer["stop"].as_str().unwrap()));
            assert!(answer["completion_ids"].as_array().unwrap().len() <= 5);
        }
        place.done(&sampled);
        assert_eq!(place.rows("out.jsonl"), answers, "the same seed");
        place.done(&[&sampled[..], &["--seed", "1"]].concat());
        assert_ne!(place.rows("out.jsonl"), answers, "another seed");
        assert!(agree(&place, &SCORE, &answers) >= 6, "{family:?}: too few tokens could be compared");
    }
}

#[test]
fn an_answer_does_not_depend_on_its_neighbours() {
    let place = Place::new(Family::Qwen3Vl);
    let sampled = [&GENERATE[..], &["--max-tokens", "6", "--temperature", "1"]].concat();
    place.write("in.jsonl", &[question("a", "What is it?"), question("b", "Where?")]);
    place.done(&sampled);
    let together = place.rows("out.jsonl");
    place.write("in.jsonl", &[question("b", "Where?")]);
    place.done(&sampled);
    assert_eq!(place.rows("out.jsonl")[0]["completion_ids"], together[1]["completion_ids"]);
}

/// Rows that no command may take, and what its message must name besides file and line.
fn bad_rows() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let good = answered(1, "?", "yes");
    let with = |key: &str, value: Value| {
        let mut row = good.clone();
        row[key] = value;
        row.to_string()
    };
    let content = |content: Value| with("messages", json!([{"role": "user", "content": content}]));
    let picture =
        |path: &str| content(json!([{"type": "image", "image": path}, {"type": "text", "text": "?"}]));
    vec![
        ("no JSON", "{\"id\": 1,".into(), vec!["EOF"]),
        ("an empty completion", with("completion", json!("")), vec!["completion", "empty"]),
        ("a completion of another type", with("completion", json!(3)), vec!["completion", "3"]),
        ("a completion with a placeholder", with("completion", json!("<|image_pad|>")), vec!["completion"]),
        ("an id of another type", with("id", json!([])), vec!["id", "[]"]),
        ("no messages", with("messages", json!([])), vec!["messages", "empty"]),
        ("a video", content(json!([{"type": "video", "video": "a.mp4"}])), vec!["video"]),
        ("an image without a path", content(json!([{"type": "image"}])), vec!["image", "missing"]),
        ("a missing image", picture("dog.png"), vec!["dog.png", "No such file"]),
        ("a corrupt image", picture("corrupt.png"), vec!["corrupt.png"]),
        ("a bomb", picture("bomb.png"), vec!["bomb.png", "60000x60000", "100000000"]),
        ("a placeholder without image", content(json!("<|image_pad|>?")), vec!["images", "1", "0"]),
    ]
}

/// A PNG of a few bytes that says it has 3.6 billion pixels.
fn bomb() -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(60_000u32.to_be_bytes());
    header.extend(60_000u32.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut crc = u32::MAX;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..], &(!crc).to_be_bytes(), b"\0\0\0\0IDAT"].concat()
}

#[test]
fn a_bad_row_is_refused_before_any_work() {
    let place = Place::new(Family::Qwen2_5Vl);
    let png = fs::read(place.at("cat.png")).unwrap();
    fs::write(place.at("corrupt.png"), &png[..png.len() / 2]).unwrap();
    fs::write(place.at("bomb.png"), bomb()).unwrap();
    for (what, row, words) in bad_rows() {
        let text = format!("{}\n\n{row}\n", answered("good", "?", "yes"));
        fs::write(place.at("in.jsonl"), text).unwrap();
        let said = place.refused(&SCORE);
        assert!(said.contains("in.jsonl:3"), "{what}: {said}");
        for word in words {
            assert!(said.contains(word), "{what}: `{word}` is not in {said}");
        }
        assert!(!place.at("out.jsonl").exists() && !place.at("out.jsonl.part").exists(), "{what}");
    }
    place.write("in.jsonl", &[answered("x", "?", "yes"), answered("x", "?", "no")]);
    let said = place.refused(&SCORE);
    assert!(said.contains("in.jsonl:2") && said.contains("`id`") && said.contains("line 1"), "{said}");
    fs::write(place.at("in.jsonl"), "").unwrap();
    assert!(place.refused(&GENERATE).contains("at least one"));
}

/// What may be wrong with a model directory, and what the message must name.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const WEIGHTS: &str = "model.safetensors";

const DAMAGES: &[Damage] = &[
    ("cut off", |dir| edit(dir, WEIGHTS, |bytes| bytes.truncate(bytes.len() - 100)), &[WEIGHTS]),
    ("a giant header", |dir| edit(dir, WEIGHTS, |bytes| bytes[..8].fill(0x7f)), &[WEIGHTS, "header"]),
    ("NaN", |dir| edit(dir, WEIGHTS, |bytes| end_in_nan(bytes)), &[WEIGHTS, "NaN"]),
    ("no weights", |dir| fs::remove_file(dir.join(WEIGHTS)).unwrap(), &[WEIGHTS]),
    (
        "a missing shard",
        |dir| {
            let index = r#"{"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}"#;
            fs::rename(dir.join(WEIGHTS), dir.join("elsewhere")).unwrap();
            fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
        },
        &["model-00001-of-00001.safetensors"],
    ),
    (
        "another shape",
        |dir| replace(dir, "config.json", "\"intermediate_size\": 96", "\"intermediate_size\": 97"),
        &[WEIGHTS, "mlp", "[97, 64]", "[96, 64]"],
    ),
    (
        "another architecture",
        |dir| replace(dir, "config.json", "Qwen2_5_VLFor", "Qwen9_VLFor"),
        &["config.json", "architectures", "Qwen9_VLForConditionalGeneration"],
    ),
    (
        "a mixture of experts",
        |dir| replace(dir, "config.json", "Qwen2_5_VLFor", "Qwen3VLMoeFor"),
        &["config.json", "Qwen3VLMoeForConditionalGeneration"],
    ),
    ("no config", |dir| fs::remove_file(dir.join("config.json")).unwrap(), &["config.json"]),
    ("no tokenizer", |dir| fs::remove_file(dir.join("tokenizer.json")).unwrap(), &["tokenizer.json"]),
];

#[test]
fn a_damaged_model_is_refused() {
    let place = Place::new(Family::Qwen2_5Vl);
    place.write("in.jsonl", &[answered(1, "?", "yes")]);
    fs::rename(place.at("model"), place.at("good")).unwrap();
    for (what, damage, words) in DAMAGES {
        let _ = fs::remove_dir_all(place.at("model"));
        fs::create_dir(place.at("model")).unwrap();
        for entry in fs::read_dir(place.at("good")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), place.at("model").join(entry.file_name())).unwrap();
        }
        damage(&place.at("model"));
        for command in [SCORE, GENERATE] {
            let said = place.refused(&command);
            for word in *words {
                assert!(said.contains(word), "{what}: `{word}` is not in {said}");
            }
            assert!(!place.at("out.jsonl").exists(), "{what}");
        }
    }
}

#[test]
fn places_that_cannot_be_written_are_refused() {
    let place = Place::new(Family::Qwen2_5Vl);
    place.write("in.jsonl", &[answered(1, "?", "yes")]);
    let before = fs::read(place.at("in.jsonl")).unwrap();
    let to = |out: &'static str| [&SCORE[..5], &[out]].concat();
    // A file where a directory is needed: permissions would not stop root.
    assert!(place.refused(&to("cat.png/out.jsonl")).contains("cat.png"));
    assert!(place.refused(&to("/proc/foveate/out.jsonl")).contains("/proc"));
    assert!(place.refused(&to("model")).contains("directory"));
    assert!(place.refused(&to("in.jsonl")).contains("--out"));
    assert_eq!(fs::read(place.at("in.jsonl")).unwrap(), before);
    let said = place.refused(&["score", "--model", "model", "none.jsonl", "--out", "out.jsonl"]);
    assert!(said.contains("none.jsonl"), "{said}");
}

#[test]
fn options_that_contradict_are_refused() {
    let place = Place::new(Family::Qwen2_5Vl);
    place.write("in.jsonl", &[question(1, "?")]);
    let with = |words: &[&'static str]| [&GENERATE[..], words].concat();
    assert!(place.refused(&with(&["--n", "2"])).contains("--temperature"));
    assert!(place.refused(&with(&["--temperature", "-1"])).contains("temperature"));
    assert!(place.refused(&with(&["--max-tokens", "0"])).contains("--max-tokens"));
    assert!(place.refused(&["dance"]).contains("dance"));
}

const PLAN: &str = "seed = 1\n[model]\npath = \"tiny\"\n[data]\ntask = \"shapes\"\n";

#[test]
fn a_plan_counts_what_the_model_has() {
    let place = Place::new(Family::Qwen3Vl);
    fs::write(place.at("recipe.toml"), PLAN).unwrap();
    let said = place.done(&["plan", "recipe.toml", "model.path=model"]);
    let weights = fs::read(place.at("model/model.safetensors")).unwrap();
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&weights[8..8 + header]).unwrap();
    let size = |entry: &Value| numbers(&entry["shape"]).iter().product::<f64>();
    let tensors = header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
    let all: f64 = tensors.map(|(_, entry)| size(entry)).sum();
    assert!(said.contains(&format!("{:.2} M parameters", all / 1e6)), "{said}");
    assert!(said.contains("fits"), "{said}");
}

#[test]
fn a_plan_that_cannot_fit_is_refused_with_advice() {
    let place = Place::new(Family::Qwen2_5Vl);
    fs::write(place.at("recipe.toml"), PLAN).unwrap();
    let said = place.refused(&["plan", "recipe.toml", "--memory", "0.01"]);
    assert!(said.contains("recipe.toml") && said.contains("model.checkpointing=true"), "{said}");
    place.done(&["plan", "recipe.toml", "--gpus", "2", "--gpu-memory", "80", "--image", "640x480"]);
}

/// Recipes that cannot be meant, and what the message must name.
const BAD_RECIPES: &[(&str, &[&str])] = &[
    ("rolout = 3\n", &["recipe.toml:1", "rolout", "rollout"]),
    ("[rollout]\ngroup = \"many\"\n", &["recipe.toml:2", "rollout.group", "many"]),
    ("[rollout]\ngroup = 1\n", &["recipe.toml:2", "rollout.group", "at least 2", "1"]),
    ("[rollout]\ngruop = 4\n", &["recipe.toml:2", "rollout.gruop", "group"]),
    ("[data]\ntask = \"chess\"\n", &["recipe.toml:2", "data.task", "shapes", "chess"]),
    ("[[reward]]\nname = \"beauty\"\n", &["recipe.toml", "beauty"]),
];

#[test]
fn a_bad_recipe_is_refused() {
    let place = Place::new(Family::Qwen2_5Vl);
    for (text, words) in BAD_RECIPES {
        fs::write(place.at("recipe.toml"), text).unwrap();
        let said = place.refused(&["plan", "recipe.toml"]);
        for word in *words {
            assert!(said.contains(word), "{text}: `{word}` is not in {said}");
        }
    }
    assert!(place.refused(&["plan", "none.toml"]).contains("none.toml"));
    fs::write(place.at("recipe.toml"), PLAN).unwrap();
    assert!(place.refused(&["plan", "recipe.toml", "rollout.gruop=4"]).contains("command line"));
}

#[test]
fn what_can_be_corrupted_is_listed() {
    let place = Place::empty();
    let said = place.done(&["corrupt", "--list"]);
    for c in CORRUPTIONS {
        assert!(
            said.lines().any(|line| line.starts_with(c.name()) && line.contains(c.summary())),
            "{}",
            c.name()
        );
    }
    let json: Value = serde_json::from_str(&place.done(&["corrupt", "--list", "--json"])).unwrap();
    let names: Vec<_> = json["corruptions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, CORRUPTIONS.iter().map(|c| json!(c.name())).collect::<Vec<_>>());
    assert_eq!(json["lists"]["common"].as_array().unwrap().len(), 15);
    assert!(json["corruptions"][0]["random"].as_bool().unwrap());
}

#[test]
fn a_picture_is_corrupted_as_the_library_does() {
    let place = Place::empty();
    let cat = open(&place.at("cat.png"), &Limits::default()).unwrap().rgb;
    let read = |name: &str| open(&place.at(name), &Limits::default()).unwrap().rgb;
    let words = ["corrupt", "snow", "cat.png", "out.png", "--severity", "2.5", "--seed", "9"];
    place.done(&words);
    let severity = Severity::fraction(0.5).unwrap();
    assert_eq!(read("out.png"), parse("snow").unwrap().apply(&cat, severity, 9));
    place.done(&["corrupt", "fog@1+pixelate", "cat.png", "out.png", "--severity", "3"]);
    let chain = parse("fog@1+pixelate").unwrap();
    assert_eq!(read("out.png"), chain.apply(&cat, Severity::LEVELS[2], 0));
    let scaled =
        ["corrupt", "gaussian_blur", "cat.png", "out.png", "--severity", "1", "--scale", "reference(28)"];
    place.done(&scaled);
    let dose = Dose { severity: Severity::LEVELS[0], seed: 0, pixel: 2. };
    assert_eq!(read("out.png"), parse("gaussian_blur").unwrap().apply_dose(&cat, &dose));
    // Into a folder that is there, under its own name.
    place.done(&["corrupt", "contrast", "cat.png", "model", "--severity", "0"]);
    assert_eq!(read("model/cat.png"), cat);
}

#[test]
fn a_folder_is_corrupted_under_its_names() {
    let place = Place::empty();
    fs::create_dir_all(place.at("in/deep")).unwrap();
    for name in ["in/a.png", "in/b.jpg", "in/deep/c.png"] {
        open(&place.at("cat.png"), &Limits::default()).unwrap().save(&place.at(name)).unwrap();
    }
    fs::write(place.at("in/notes.txt"), "no picture").unwrap();
    let noise = ["corrupt", "gaussian_noise", "in", "out", "--severity", "2"];
    let output = place.foveate(&noise);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("3 pictures") && said.contains("notes.txt"), "{said}");
    let once: Vec<_> =
        ["out/a.png", "out/b.jpg", "out/deep/c.png"].map(|n| fs::read(place.at(n)).unwrap()).into();
    assert_ne!(once[0], once[2], "pictures of other names draw apart");
    let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
    let words = ["corrupt", "gaussian_noise", "in", "again", "--severity", "2"];
    command.current_dir(place.0.path()).env("RAYON_NUM_THREADS", "1").args(words).output().unwrap();
    assert_eq!(fs::read(place.at("again/deep/c.png")).unwrap(), once[2], "threads must not show");
    fs::write(place.at("in/broken.png"), "no").unwrap();
    let said = place.refused(&noise);
    assert!(said.contains("1 of 4") && said.contains("broken.png"), "{said}");
    assert!(!place.at("out/broken.png").exists() && !place.at("out/broken.png.part").exists());
}

#[test]
fn a_sheet_shows_a_list() {
    let place = Place::empty();
    place.done(&["corrupt", "extra", "--sheet", "cat.png", "sheet.png"]);
    let sheet = open(&place.at("sheet.png"), &Limits::default()).unwrap().rgb;
    // 224 x 179 a cell, six across, four rows with their labels.
    assert_eq!(sheet.dimensions(), (6 + 6 * 230, 6 + 4 * 197));
    place.done(&["corrupt", "fog+snow", "--sheet", "cat.png", "one.png"]);
    assert_eq!(open(&place.at("one.png"), &Limits::default()).unwrap().rgb.height(), 6 + 197);
}

#[test]
fn frost_comes_from_a_folder_of_ones_own() {
    let place = Place::empty();
    fs::create_dir(place.at("plates")).unwrap();
    let frosted = ["corrupt", "frost", "cat.png", "out.png", "--severity", "1", "--frost", "plates"];
    assert!(place.refused(&frosted).contains("no picture"));
    fs::copy(place.at("cat.png"), place.at("plates/p.png")).unwrap();
    place.done(&frosted);
    let others = ["corrupt", "fog", "cat.png", "out.png", "--severity", "1", "--frost", "plates"];
    assert!(place.refused(&others).contains("frost"));
}

#[test]
fn corruptions_that_cannot_be_are_refused() {
    let place = Place::empty();
    let with = |name: &'static str, severity: &'static str| {
        place.refused(&["corrupt", name, "cat.png", "out.png", "--severity", severity])
    };
    assert!(with("fogg", "1").contains("fogg"));
    assert!(with("common", "1").contains("any:common"));
    for level in ["6", "-1", "nan", "0.5.1"] {
        let said = with("fog", level);
        assert!(said.contains("--severity") && said.contains(&level.replace("nan", "NaN")), "{said}");
    }
    assert!(place.refused(&["corrupt", "fog", "cat.png", "out.png"]).contains("--severity"));
    assert!(place.refused(&["corrupt"]).contains("<NAME>"));
    let to = |from: &'static str, to: &'static str| {
        place.refused(&["corrupt", "fog", from, to, "--severity", "1"])
    };
    assert!(to("cat.png", "cat.png").contains("cat.png"));
    assert!(to("none.png", "out.png").contains("none.png"));
    assert!(to("cat.png", "out.xyz").contains("out.xyz"));
    assert!(to("model", "out").contains("no picture"));
    fs::write(place.at("bomb.png"), bomb()).unwrap();
    assert!(to("bomb.png", "out.png").contains("60000 x 60000"));
    let scaled = ["corrupt", "fog", "cat.png", "out.png", "--severity", "1", "--scale", "large"];
    assert!(place.refused(&scaled).contains("reference(N)"));
    assert!(!place.at("out.png").exists());
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new(Family::Qwen2_5Vl);
    let all = place.done(&["--help"]);
    for command in ["train", "score", "generate", "corrupt", "grade", "plan", "eval", "report", "prep"] {
        assert!(all.contains(command), "{all}");
        assert!(place.done(&[command, "--help"]).contains(&format!("foveate {command}")));
    }
}
