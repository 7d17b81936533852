//! Config: every spelling of every family gives what transformers makes of it.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use foveate_vision::config::{Config, FAMILIES};
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
