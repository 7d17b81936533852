//! Config: every spelling of every family gives what transformers makes of it.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use foveate_vision::config::{Config, FAMILIES, GenerationConfig};
use serde_json::{Value, json};

/// Written by tests/golden/configs/make.py.
fn golden(name: &str) -> Value {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/configs");
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

/// The config in the words of make.py.
fn told(config: &Config) -> Value {
    let (t, v) = (&config.text, &config.vision);
    json!({
        "text": {
            "vocab_size": t.vocab_size, "hidden_size": t.hidden_size,
            "intermediate_size": t.intermediate_size, "layers": t.layers, "heads": t.heads,
            "kv_heads": t.kv_heads, "head_dim": t.head_dim,
            "norm_eps": t.norm_eps.to_string().parse::<f64>().unwrap(),
            "rope_theta": t.rope_theta, "mrope_section": t.mrope_section,
            "mrope_interleaved": t.mrope_interleaved, "tied": t.tied,
            "max_position_embeddings": t.max_position_embeddings,
        },
        "vision": {
            "depth": v.depth, "hidden_size": v.hidden_size,
            "intermediate_size": v.intermediate_size, "heads": v.heads, "channels": v.channels,
            "patch_size": v.patch_size, "temporal_patch_size": v.temporal_patch_size,
            "merge_size": v.merge_size, "out_hidden_size": v.out_hidden_size,
            "window_size": v.window_size, "full_attention_blocks": v.full_attention_blocks,
            "deepstack_blocks": v.deepstack_blocks, "position_embeddings": v.position_embeddings,
        },
        "image_token_id": config.image_token_id, "video_token_id": config.video_token_id,
        "vision_start_token_id": config.vision_start_token_id,
        "vision_end_token_id": config.vision_end_token_id,
    })
}

/// Whole floats as integers: JSON writes 5000000 and 5000000.0 for the same number.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64().unwrap()),
        Value::Array(all) => all.into_iter().map(plain).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, plain(v))).collect(),
        other => other,
    }
}

#[test]
fn every_spelling_means_what_transformers_says() {
    for row in &FAMILIES {
        for spelling in ["published", "saved", "sparse"] {
            let name = format!("{}.{spelling}", row.model_type);
            let raw = golden(&format!("{name}.json"));
            let config = Config::from_value(raw.clone(), &name).unwrap();
            assert_eq!(config.family, row.family, "{name}");
            assert_eq!(config.family.row().architecture, row.architecture);
            assert_eq!(plain(told(&config)), plain(golden(&format!("{name}.want.json"))), "{name}");
            assert_eq!(config.raw, raw, "{name}");
        }
    }
}

/// Family, JSON pointer, value to put there (`null` removes), words of the error.
const REFUSED: &[(&str, &str, &str, &[&str])] = &[
    ("qwen2_5_vl", "/architectures/0", "\"LlamaForCausalLM\"", &["`architectures`", "LlamaForCausalLM"]),
    ("qwen3_vl", "/architectures/0", "\"Qwen3VLMoeForConditionalGeneration\"", &["Qwen3VLMoe"]),
    ("qwen3_vl", "/architectures", "[]", &["`architectures`", "[]"]),
    ("qwen3_vl", "/architectures", "[7]", &["`architectures`", "[7]"]),
    ("qwen3_vl", "/model_type", "\"qwen2_vl\"", &["`model_type`", "qwen3_vl", "qwen2_vl"]),
    ("qwen3_vl", "/text_config/num_experts", "128", &["`text_config.num_experts`", "128"]),
    ("qwen2_5_vl", "/quantization_config", "{}", &["`quantization_config`"]),
    ("qwen2_5_vl", "/use_sliding_window", "true", &["`use_sliding_window`", "false", "true"]),
    ("qwen2_5_vl", "/layer_types", "[\"sliding_attention\"]", &["`layer_types`", "sliding_attention"]),
    ("qwen2_5_vl", "/layer_types", "3", &["`layer_types`", "is 3"]),
    ("qwen2_5_vl", "/hidden_act", "\"gelu\"", &["`hidden_act`", "silu", "gelu"]),
    ("qwen3_vl", "/text_config/attention_bias", "true", &["`text_config.attention_bias`", "true"]),
    ("qwen2_vl", "/vision_config/hidden_act", "\"silu\"", &["`vision_config.hidden_act`", "quick_gelu"]),
    ("qwen2_vl", "/vision_config/in_chans", "1", &["`vision_config.in_chans`", "3", "is 1"]),
    ("qwen2_vl", "/vision_config", "null", &["`vision_config`", "missing"]),
    ("qwen2_vl", "/vision_config", "[]", &["`vision_config`", "an object"]),
    ("qwen2_vl", "/rope_scaling/type", "\"yarn\"", &["`rope_scaling.type`", "yarn"]),
    ("qwen2_vl", "/rope_scaling/mrope_section", "[2, 3]", &["mrope_section`", "[2, 3]"]),
    ("qwen2_vl", "/rope_scaling/mrope_section", "[2, 3, 4]", &["`mrope_section`", "sum 8", "[2, 3, 4]"]),
    ("qwen2_vl", "/rope_scaling/mrope_section", "\"x\"", &["mrope_section`", "\"x\""]),
    ("qwen2_vl", "/rope_scaling/mrope_interleaved", "true", &["mrope_interleaved`", "false", "true"]),
    ("qwen2_vl", "/rope_theta", "-1.0", &["`rope_theta`", "above 0", "-1"]),
    ("qwen2_vl", "/hidden_size", "\"64\"", &["`hidden_size`", "an integer", "\"64\""]),
    ("qwen2_vl", "/hidden_size", "64.5", &["`hidden_size`", "an integer", "64.5"]),
    ("qwen2_vl", "/hidden_size", "0", &["`hidden_size`", "at least 1", "is 0"]),
    ("qwen2_vl", "/hidden_size", "-3", &["`hidden_size`", "-3"]),
    ("qwen2_vl", "/hidden_size", "18446744073709551615", &["`hidden_size`", "at most"]),
    ("qwen2_vl", "/hidden_size", "66", &["`hidden_size`", "multiple of num_attention_heads (4)", "66"]),
    ("qwen2_vl", "/head_dim", "32", &["`head_dim`", "16", "32"]),
    ("qwen2_vl", "/num_key_value_heads", "3", &["`num_attention_heads`", "(3)", "is 4"]),
    ("qwen2_vl", "/tie_word_embeddings", "\"yes\"", &["`tie_word_embeddings`", "yes"]),
    ("qwen2_vl", "/rms_norm_eps", "0", &["`rms_norm_eps`", "above 0"]),
    ("qwen2_vl", "/image_token_id", "1088", &["`image_token_id`", "below vocab_size (1088)", "is 1088"]),
    ("qwen2_vl", "/image_token_id", "5000000000", &["`image_token_id`"]),
    ("qwen2_vl", "/vision_config/hidden_size", "32", &["`vision_config.hidden_size`", "64", "is 32"]),
    ("qwen2_vl", "/vision_config/num_heads", "3", &["`vision_config.hidden_size`", "(12)", "is 32"]),
    ("qwen2_5_vl", "/vision_config/out_hidden_size", "32", &["`vision_config.out_hidden_size`", "64", "32"]),
    ("qwen2_5_vl", "/vision_config/window_size", "100", &["`vision_config.window_size`", "(28)", "100"]),
    ("qwen2_5_vl", "/vision_config/fullatt_block_indexes", "[1, 5]", &["fullatt", "(5)", "[1, 5]"]),
    ("qwen3_vl", "/vision_config/deepstack_visual_indexes", "[2, 0]", &["deepstack", "ascending", "[2, 0]"]),
    ("qwen3_vl", "/text_config/num_hidden_layers", "2", &["deepstack", "at most 2", "is 3"]),
    ("qwen3_vl", "/vision_config/num_position_embeddings", "143", &["num_position_embeddings", "143"]),
    ("qwen3_vl", "/vision_config/rope_parameters", "{\"rope_theta\": 5}", &["rope_parameters.rope_theta"]),
    ("qwen3_vl", "/text_config/rope_scaling/mrope_interleaved", "false", &["mrope_interleaved`", "true"]),
    ("qwen3_vl", "/text_config/head_dim", "31", &["`head_dim`", "even", "31"]),
];

/// Puts `value` at `pointer`, whose last key need not be there yet.
fn put(json: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match json.pointer_mut(parent).unwrap() {
        Value::Array(all) => all[key.parse::<usize>().unwrap()] = value,
        object => object[key] = value,
    }
}

#[test]
fn what_is_not_computed_or_does_not_fit_is_refused_by_name() {
    for (family, pointer, value, words) in REFUSED {
        let mut raw = golden(&format!("{family}.published.json"));
        put(&mut raw, pointer, serde_json::from_str(value).unwrap());
        let case = format!("{family} {pointer} = {value}");
        let error = Config::from_value(raw, "dir/config.json").expect_err(&case);
        assert!(error.is_input(), "{case}");
        let message = error.to_string();
        for word in ["dir/config.json"].iter().chain(*words) {
            assert!(message.contains(word), "{case}: {message}");
        }
    }
}

#[test]
fn both_places_of_a_nested_setting_are_read() {
    let mut raw = golden("qwen3_vl.saved.json");
    put(&mut raw, "/text_config/rope_parameters/rope_theta", Value::Null);
    put(&mut raw, "/text_config/rope_theta", json!(77));
    assert_eq!(Config::from_value(raw, "").unwrap().text.rope_theta, 77.0);
    for (family, outer, inner, tied) in [
        ("qwen2_5_vl", json!(false), json!(true), true),
        ("qwen2_5_vl", Value::Null, Value::Null, false),
        ("qwen3_vl", json!(false), json!(true), false),
        ("qwen3_vl", Value::Null, json!(true), true),
    ] {
        let mut raw = golden(&format!("{family}.saved.json"));
        put(&mut raw, "/tie_word_embeddings", outer);
        put(&mut raw, "/text_config/tie_word_embeddings", inner);
        assert_eq!(Config::from_value(raw, "").unwrap().text.tied, tied, "{family}");
    }
}

/// Pointers to every value of a tree.
fn pointers(json: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match json {
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), out));
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| pointers(v, &format!("{at}/{k}"), out)),
        _ => {}
    }
}

#[test]
fn no_value_anywhere_makes_it_panic() {
    let poisons = [
        Value::Null,
        json!(0),
        json!(-1),
        json!(1),
        json!(u64::MAX),
        json!(1u64 << 31),
        json!(1e300),
        json!("x"),
        json!(true),
        json!([]),
        json!([1u64 << 31, 1u64 << 31, 1u64 << 31]),
        json!({}),
    ];
    let mut tried = 0;
    for row in &FAMILIES {
        for spelling in ["published", "saved", "sparse"] {
            let raw = golden(&format!("{}.{spelling}.json", row.model_type));
            let mut places = vec![];
            pointers(&raw, "", &mut places);
            for place in places {
                for poison in &poisons {
                    let mut raw = raw.clone();
                    *raw.pointer_mut(&place).unwrap() = poison.clone();
                    if let Err(error) = Config::from_value(raw, "config.json") {
                        assert!(error.is_input() && error.to_string().contains("config.json"));
                    }
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 3000, "{tried}");
}

fn dir_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn a_file_that_is_missing_or_no_json_is_named() {
    for dir in [dir_with(&[]), dir_with(&[("config.json", "{")]), dir_with(&[("config.json", "[]")])] {
        let message = Config::from_dir(dir.path()).unwrap_err().to_string();
        assert!(message.contains("config.json"), "{message}");
    }
}

#[test]
fn generation_config_is_read_and_written() {
    let file = r#"{"bos_token_id": 5, "eos_token_id": [7, 8], "pad_token_id": 9, "do_sample": true,
                   "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}"#;
    let dir = dir_with(&[("generation_config.json", file), ("config.json", "{}")]);
    let read = GenerationConfig::from_dir(dir.path()).unwrap();
    assert_eq!((read.eos_token_ids.as_slice(), read.pad_token_id), ([7, 8].as_slice(), Some(9)));
    assert_eq!((read.do_sample, read.temperature, read.top_p, read.top_k), (true, 0.7, 0.8, 20));
    assert_eq!(read.repetition_penalty, 1.05);
    assert_eq!(read.to_json(), serde_json::from_str::<Value>(file).unwrap());

    let silent = dir_with(&[("generation_config.json", r#"{"eos_token_id": 3}"#)]);
    let read = GenerationConfig::from_dir(silent.path()).unwrap();
    assert_eq!((read.eos_token_ids.as_slice(), read.pad_token_id), ([3].as_slice(), None));
    // transformers' defaults
    assert_eq!((read.do_sample, read.temperature, read.top_p, read.top_k), (false, 1.0, 1.0, 50));
    assert_eq!(read.to_json()["eos_token_id"], json!(3));
}

#[test]
fn without_generation_config_the_ends_of_text_come_from_config() {
    for config in [
        r#"{"eos_token_id": 4, "pad_token_id": 6}"#,
        r#"{"text_config": {"eos_token_id": [4], "pad_token_id": 6}}"#,
    ] {
        let read = GenerationConfig::from_dir(dir_with(&[("config.json", config)]).path()).unwrap();
        assert_eq!((read.eos_token_ids.as_slice(), read.pad_token_id), ([4].as_slice(), Some(6)));
    }
}

#[test]
fn bad_generation_settings_are_refused_by_name() {
    for (field, value) in [
        ("temperature", "0"),
        ("temperature", "\"hot\""),
        ("top_p", "1.5"),
        ("top_k", "-1"),
        ("eos_token_id", "[1, null]"),
        ("eos_token_id", "99999999999"),
        ("do_sample", "1"),
    ] {
        let dir = dir_with(&[("generation_config.json", &format!("{{\"{field}\": {value}}}"))]);
        let message = GenerationConfig::from_dir(dir.path()).unwrap_err().to_string();
        assert!(message.contains("generation_config.json") && message.contains(field), "{message}");
    }
}
