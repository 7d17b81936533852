//! Tiny models: what is written is what transformers writes, cuts and renders, for every family.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use foveate_vision::config::{Config, FAMILIES, Family, FamilyRow, GenerationConfig};
use foveate_vision::tiny::{self, Init, TinySpec, WORDS};
use foveate_vision::weights::Weights;
use minijinja::Environment;
use serde_json::Value;
use tokenizers::Tokenizer;

/// Written by tests/golden/tiny/make.py.
fn golden(name: &str) -> Value {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tiny");
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

fn written(spec: &TinySpec) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path(), spec).unwrap();
    dir
}

fn json(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name)).unwrap()).unwrap()
}

/// Names and shapes in `model.safetensors`, as the reference implementation reads them.
fn tensors(dir: &Path) -> BTreeMap<String, Vec<usize>> {
    let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec())).collect()
}

fn each_family(test: impl Fn(&FamilyRow, &Path)) {
    for row in &FAMILIES {
        test(row, written(&TinySpec::laws(row.family)).path());
    }
}

#[test]
fn config_and_tensors_are_those_of_transformers() {
    each_family(|row, dir| {
        assert_eq!(json(dir, "config.json"), golden(&format!("{}.config.json", row.model_type)));
        let want = golden(&format!("{}.names.json", row.model_type));
        let want: BTreeMap<String, Vec<usize>> = serde_json::from_value(want).unwrap();
        assert_eq!(tensors(dir), want, "{}", row.model_type);
    });
}

#[test]
fn the_laws_see_everything_that_a_family_has() {
    each_family(|row, dir| {
        let config = Config::from_dir(dir).unwrap();
        assert_eq!(config, TinySpec::laws(row.family).config().unwrap());
        assert!(config.text.heads > config.text.kv_heads && config.text.layers > 1);
        assert_eq!(config.vision.window_size.is_some(), row.family == Family::Qwen2_5Vl);
        if let Some(window) = config.vision.window_size {
            assert!(window * 2 <= 112 && !config.vision.full_attention_blocks.is_empty());
            assert!(config.vision.full_attention_blocks.len() < config.vision.depth);
        }
        assert_eq!(config.vision.deepstack_blocks.len() >= 2, row.family == Family::Qwen3Vl);
        assert_eq!(GenerationConfig::from_dir(dir).unwrap().eos_token_ids.len(), 2);
    });
}

#[test]
fn the_quickstart_is_small() {
    let dir = written(&TinySpec::quickstart());
    let count: usize = tensors(dir.path()).values().map(|shape| shape.iter().product::<usize>()).sum();
    assert!((1_000_000..1_600_000).contains(&count), "{count}");
}

#[test]
fn the_tokenizer_cuts_as_in_transformers() {
    let dir = written(&TinySpec::quickstart());
    let tokenizer = Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    for case in golden("tokens.json").as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let found = tokenizer.encode(text, true).unwrap();
        assert_eq!(serde_json::json!(found.get_ids()), case["ids"], "{text:?}");
    }
    for word in WORDS {
        for text in [word.to_string(), format!(" {word}")] {
            let found = tokenizer.encode(text.as_str(), true).unwrap();
            assert_eq!(found.get_ids().len(), 1, "{text:?}");
            assert_eq!(tokenizer.decode(found.get_ids(), false).unwrap(), text);
        }
    }
}

#[test]
fn special_tokens_are_named_by_the_config() {
    each_family(|row, dir| {
        let tokenizer = Tokenizer::from_file(dir.join("tokenizer.json")).unwrap();
        let config = Config::from_dir(dir).unwrap();
        let id = |token: &str| tokenizer.token_to_id(token).unwrap();
        assert_eq!(config.image_token_id, id("<|image_pad|>"));
        assert_eq!(config.video_token_id, id("<|video_pad|>"));
        assert_eq!(config.vision_start_token_id, id("<|vision_start|>"));
        assert_eq!(config.vision_end_token_id, id("<|vision_end|>"));
        let ends = GenerationConfig::from_dir(dir).unwrap().eos_token_ids;
        assert_eq!(ends, [id("<|im_end|>"), id("<|endoftext|>")]);
        assert_eq!(tokenizer.token_to_id("</think>").is_some(), row.family == Family::Qwen3Vl);
        assert!(config.text.vocab_size > tokenizer.get_vocab_size(true));
        assert_eq!(config.text.vocab_size % 64, 0);
        let text = "a<|im_start|>b<tool_call>";
        let ids = tokenizer.encode(text, true).unwrap();
        assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), "ab<tool_call>");
    });
}

#[test]
fn chats_are_rendered_as_by_the_published_templates() {
    each_family(|row, dir| {
        let template = std::fs::read_to_string(dir.join("chat_template.jinja")).unwrap();
        let environment = Environment::new();
        let template = environment.template_from_str(&template).unwrap();
        let cases = golden("chats.json");
        let own = cases.as_array().unwrap().iter().filter(|case| case["family"] == row.model_type);
        let mut seen = 0;
        for case in own {
            let options = &case["options"];
            let found = template
                .render(minijinja::value::Serde(serde_json::json!({
                    "messages": case["messages"],
                    "add_generation_prompt": options["add_generation_prompt"],
                    "add_vision_id": options["add_vision_id"],
                })))
                .unwrap();
            assert_eq!(found, case["text"].as_str().unwrap(), "{case}");
            seen += 1;
        }
        assert_eq!(seen, 8);
    });
}

/// All tensors of a model.
fn values(spec: &TinySpec) -> BTreeMap<String, Vec<f32>> {
    let dir = written(spec);
    let weights = Weights::open(dir.path()).unwrap();
    let all = tensors(dir.path()).into_iter();
    all.map(|(name, shape)| (name.clone(), weights.f32(&name, &shape).unwrap())).collect()
}

#[test]
fn another_layer_or_seed_changes_what_it_should() {
    let spec = TinySpec::laws(Family::Qwen2_5Vl);
    let (once, again) = (values(&spec), values(&spec));
    assert_eq!(once, again);
    let deeper = values(&TinySpec { layers: 4, ..spec.clone() });
    assert!(deeper.len() > once.len());
    assert!(once.iter().all(|(name, tensor)| deeper[name] == *tensor));
    let reseeded = values(&TinySpec { seed: 2, ..spec });
    assert!(once.iter().all(|(name, tensor)| reseeded[name] != *tensor));
}

#[test]
fn first_weights_have_the_scale_of_their_role() {
    let spec = TinySpec { init: Init::Scratch, ..TinySpec::quickstart() };
    let all = values(&spec);
    // Name, mean, standard deviation.
    for (name, mean, std) in [
        ("model.embed_tokens.weight", 0.0, 128f64.powf(-0.5)),
        ("lm_head.weight", 0.0, 0.5 * 128f64.powf(-0.5)),
        ("model.layers.1.mlp.up_proj.weight", 0.0, 128f64.powf(-0.5)),
        ("model.layers.1.mlp.down_proj.weight", 0.0, (256f64 * 8.0).powf(-0.5)),
        ("model.layers.1.self_attn.q_proj.bias", 0.0, 0.0),
        ("model.layers.1.input_layernorm.weight", 1.0, 0.0),
        ("visual.patch_embed.proj.weight", 0.0, (3f64 * 2.0 * 14.0 * 14.0).powf(-0.5)),
        ("visual.blocks.0.attn.proj.weight", 0.0, (96f64 * 8.0).powf(-0.5)),
    ] {
        let values = &all[name];
        let n = values.len() as f64;
        let found = values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
        let spread = values.iter().map(|x| (f64::from(*x) - found).powi(2)).sum::<f64>() / n;
        // Five standard errors.
        let room = 5.0 * std / n.sqrt();
        assert!((found - mean).abs() <= room, "{name}: mean {found}");
        assert!((spread.sqrt() - std).abs() <= room, "{name}: std {} for {std}", spread.sqrt());
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let spec = TinySpec::laws(Family::Qwen2Vl);
    for (bad, word) in [
        (TinySpec { words: &["two2"], ..spec.clone() }, "two2"),
        (TinySpec { words: &["two words"], ..spec.clone() }, "two words"),
        (TinySpec { words: &[""], ..spec.clone() }, "words"),
        (TinySpec { heads: 3, kv_heads: 3, ..spec.clone() }, "num_attention_heads"),
        (TinySpec { heads: 0, ..spec.clone() }, "num_attention_heads"),
        (TinySpec { vision_intermediate: 65, ..spec.clone() }, "mlp_ratio"),
        (TinySpec { head_dim: Some(32), ..spec.clone() }, "mrope_section"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let message = tiny::write(dir.path(), &bad).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is written");
    }
    let taken = written(&spec);
    let message = tiny::write(taken.path(), &spec).unwrap_err().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
}
