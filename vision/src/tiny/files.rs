//! The small files of a model directory.
//!
//! Decides their spelling: that of the published repositories. Holds no numbers but those that all of a
//! family share.

use serde_json::{Value, json};

use super::tokens::Tokens;
use super::{Small, TinySpec};
use crate::Result;
use crate::config::{Config, Family};

const TEMPLATE: &str = include_str!("chat_template.jinja");
const MAX_POSITIONS: usize = 4096;
const MERGE: usize = 2;

/// `config.json`, checked.
pub(super) fn config(spec: &TinySpec, tokens: &Tokens) -> Result<Config> {
    let mut config = match spec.family {
        Family::Qwen3Vl => nested(spec, tokens),
        _ => flat(spec, tokens),
    };
    for (key, token) in TOKEN_KEYS {
        config[key] = json!(tokens.id(token));
    }
    Config::from_value(config, "config.json of the tiny model")
}

const TOKEN_KEYS: [(&str, &str); 4] = [
    ("image_token_id", "<|image_pad|>"),
    ("video_token_id", "<|video_pad|>"),
    ("vision_start_token_id", "<|vision_start|>"),
    ("vision_end_token_id", "<|vision_end|>"),
];

/// What the language model says of itself in every family.
fn text(spec: &TinySpec, tokens: &Tokens) -> Value {
    json!({
        "attention_dropout": 0.0,
        "bos_token_id": tokens.id("<|endoftext|>"),
        "eos_token_id": tokens.id("<|im_end|>"),
        "hidden_act": "silu",
        "hidden_size": spec.hidden,
        "initializer_range": 0.02,
        "intermediate_size": spec.intermediate,
        "max_position_embeddings": MAX_POSITIONS,
        "num_attention_heads": spec.heads,
        "num_hidden_layers": spec.layers,
        "num_key_value_heads": spec.kv_heads,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": spec.tied,
        "use_cache": true,
        // A few more rows than tokens, as the published embeddings have.
        "vocab_size": (tokens.len() + 1).next_multiple_of(64),
    })
}

fn flat(spec: &TinySpec, tokens: &Tokens) -> Value {
    let row = spec.family.row();
    let mut config = text(spec, tokens);
    config["architectures"] = json!([row.architecture]);
    config["model_type"] = json!(row.model_type);
    config["torch_dtype"] = json!("float32");
    config["use_sliding_window"] = json!(false);
    config["rope_theta"] = json!(1_000_000.0);
    config["rope_scaling"] = json!({"type": "mrope", "mrope_section": sections(spec)});
    config["vision_config"] = vision(spec);
    config
}

fn nested(spec: &TinySpec, tokens: &Tokens) -> Value {
    let row = spec.family.row();
    let mut text = text(spec, tokens);
    text["model_type"] = json!("qwen3_vl_text");
    text["attention_bias"] = json!(false);
    text["dtype"] = json!("float32");
    text["head_dim"] = json!(head_dim(spec));
    text["rope_theta"] = json!(5_000_000);
    text["rope_scaling"] = json!({
        "mrope_interleaved": true, "mrope_section": sections(spec), "rope_type": "default"
    });
    json!({
        "architectures": [row.architecture],
        "model_type": row.model_type,
        "text_config": text,
        "tie_word_embeddings": spec.tied,
        "vision_config": vision(spec),
    })
}

fn head_dim(spec: &TinySpec) -> usize {
    spec.head_dim.unwrap_or(spec.hidden / spec.heads.max(1))
}

/// (t, h, w) in the proportion of the published models: 16:24:24 and 24:20:20.
fn sections(spec: &TinySpec) -> [usize; 3] {
    let half = head_dim(spec) / 2;
    let side = match spec.family {
        Family::Qwen3Vl => half * 20 / 64,
        _ => half * 24 / 64,
    };
    [half - 2 * side, side, side]
}

fn vision(spec: &TinySpec) -> Value {
    let mut vision = json!({
        "depth": spec.vision_depth,
        "hidden_act": spec.family.row().vision_act,
        "num_heads": spec.vision_heads,
        "patch_size": spec.patch_size,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
    });
    if spec.family == Family::Qwen2Vl {
        vision["in_chans"] = json!(3);
        vision["embed_dim"] = json!(spec.vision_hidden);
        vision["mlp_ratio"] = ratio(spec.vision_intermediate, spec.vision_hidden);
        vision["hidden_size"] = json!(spec.hidden);
        return vision;
    }
    vision["hidden_size"] = json!(spec.vision_hidden);
    vision["intermediate_size"] = json!(spec.vision_intermediate);
    vision["out_hidden_size"] = json!(spec.hidden);
    if spec.family == Family::Qwen2_5Vl {
        vision["in_chans"] = json!(3);
        vision["window_size"] = json!(2 * MERGE * spec.patch_size);
        let full: Vec<_> = (1..spec.vision_depth).step_by(2).collect();
        vision["fullatt_block_indexes"] = json!(full);
        vision["tokens_per_second"] = json!(2);
        return vision;
    }
    vision["in_channels"] = json!(3);
    let deepstack: Vec<_> = (0..spec.vision_depth).step_by(2).take(spec.layers).collect();
    vision["deepstack_visual_indexes"] = json!(deepstack);
    let side = spec.max_pixels.isqrt().checked_div(spec.patch_size).unwrap_or(0).clamp(2, 48);
    vision["num_position_embeddings"] = json!(side * side);
    vision
}

/// A whole ratio as an integer; another is left for the reader of the config to refuse.
fn ratio(a: usize, b: usize) -> Value {
    match a.checked_div(b) {
        Some(whole) if whole * b == a => json!(whole),
        _ => json!(a as f64 / b as f64),
    }
}

/// All small files but the tokenizer's.
pub(super) fn small(spec: &TinySpec, config: &Config, tokens: &Tokens) -> Vec<Small> {
    let mut files = vec![
        ("config.json", config.raw.clone()),
        ("generation_config.json", generation(tokens)),
        ("preprocessor_config.json", preprocessor(spec)),
        ("tokenizer_config.json", tokens.config_json(MAX_POSITIONS)),
    ];
    if spec.family == Family::Qwen3Vl {
        let mut video = preprocessor(spec);
        if let Some(map) = video.as_object_mut() {
            map.shift_remove("image_processor_type");
        }
        video["video_processor_type"] = json!("Qwen3VLVideoProcessor");
        files.push(("video_preprocessor_config.json", video));
    }
    files
}

/// Sampled from as trained: no filter, temperature 1.
fn generation(tokens: &Tokens) -> Value {
    let pad = tokens.id("<|endoftext|>");
    json!({
        "bos_token_id": pad, "pad_token_id": pad, "eos_token_id": [tokens.id("<|im_end|>"), pad],
        "do_sample": true, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
    })
}

fn preprocessor(spec: &TinySpec) -> Value {
    let mut json = json!({
        "patch_size": spec.patch_size, "temporal_patch_size": 2, "merge_size": MERGE,
    });
    if spec.family == Family::Qwen3Vl {
        // Areas, in spite of the names.
        json["size"] = json!({"longest_edge": spec.max_pixels, "shortest_edge": spec.min_pixels});
        json["image_mean"] = json!([0.5, 0.5, 0.5]);
        json["image_std"] = json!([0.5, 0.5, 0.5]);
        json["image_processor_type"] = json!("Qwen2VLImageProcessorFast");
        json["processor_class"] = json!("Qwen3VLProcessor");
        return json;
    }
    json["min_pixels"] = json!(spec.min_pixels);
    json["max_pixels"] = json!(spec.max_pixels);
    json["image_mean"] = json!([0.48145466, 0.4578275, 0.40821073]);
    json["image_std"] = json!([0.26862954, 0.26130258, 0.27577711]);
    json["image_processor_type"] = json!("Qwen2VLImageProcessor");
    json["processor_class"] = json!(match spec.family {
        Family::Qwen2Vl => "Qwen2VLProcessor",
        _ => "Qwen2_5_VLProcessor",
    });
    json
}

/// Qwen3-VL's has no default system prompt.
pub(super) fn chat_template(family: Family) -> String {
    let default = family != Family::Qwen3Vl;
    format!("{{%- set default_system = {default} -%}}\n{TEMPLATE}")
}
