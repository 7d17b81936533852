//! `adapter_config.json`.
//!
//! Decides what of a file is computed here. Anything else that it asks for is refused: silence would give
//! other numbers than PEFT's. Written is what PEFT and vLLM need, with `target_modules` as a regular
//! expression: a list of names would also match modules of the vision tower.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{LoraConfig, Target};
use crate::config::fields::{Fields, read_json};
use crate::{Error, Result};

/// The tensors' file.
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";

/// Fields that may have one value.
const ONLY: [(&str, &str); 2] = [("peft_type", "LORA"), ("bias", "none")];

/// Fields that are read, or say nothing of the numbers once the tensors are there.
const KNOWN: [&str; 27] = [
    "peft_type",
    "bias",
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "target_modules",
    "rank_pattern",
    "alpha_pattern",
    "init_lora_weights",
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "ensure_weight_tying",
];

/// First weights that leave the base as it is; others take something off it, which the file does not hold.
const PLAIN_INIT: [&str; 3] = ["gaussian", "orthogonal", "eva"];

fn config_file(dir: &Path) -> PathBuf {
    dir.join("adapter_config.json")
}

/// The configuration of the adapter in `dir`.
pub(crate) fn read_config(dir: &Path) -> Result<LoraConfig> {
    let path = config_file(dir);
    let value = read_json(&path)?;
    let place = path.display().to_string();
    let root = Fields::root(&place, &value)?;
    for (name, only) in ONLY {
        root.must_be(name, &json!(only))?;
    }
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    };
    let asked = |name: &&str| !KNOWN.contains(name) && root.get(name).is_some_and(|value| !empty(value));
    if let Some(name) = root.names().find(asked) {
        let found = root.get(name).map(Value::to_string).unwrap_or_default();
        return Err(root.wrong(name, "absent, since it is not computed here", found));
    }
    match root.get("init_lora_weights") {
        Some(Value::String(init)) if !PLAIN_INIT.contains(&init.as_str()) => {
            let expected = format!("true, false or one of {}", PLAIN_INIT.join(", "));
            return Err(root.wrong("init_lora_weights", expected, init));
        }
        _ => {}
    }
    let config = LoraConfig {
        rank: root.size("r", 8)?,
        alpha: root.positive("lora_alpha", 8.0)?,
        dropout: root.number("lora_dropout", 0.0)?,
        rslora: root.flag("use_rslora")?.unwrap_or(false),
        target_modules: target(&root)?,
        rank_pattern: exceptions(&root, "rank_pattern", |map, name| map.size(name, 1))?,
        alpha_pattern: exceptions(&root, "alpha_pattern", |map, name| map.positive(name, 1.0))?,
    };
    match (0.0..1.0).contains(&config.dropout) {
        true => Ok(config),
        false => Err(root.wrong("lora_dropout", "at least 0 and under 1", config.dropout)),
    }
}

/// For information only: which modules are changed is told by the tensors.
fn target(root: &Fields) -> Result<Target> {
    match root.get("target_modules") {
        Some(Value::String(pattern)) => Ok(Target::Pattern(pattern.clone())),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => {
            Ok(Target::Names(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
        }
        other => {
            let found = other.map_or("missing".into(), Value::to_string);
            Err(root.wrong("target_modules", "a pattern or a list of names", found))
        }
    }
}

fn exceptions<T>(
    root: &Fields,
    name: &str,
    value: impl Fn(&Fields, &str) -> Result<T>,
) -> Result<Vec<(String, T)>> {
    let Some(map) = root.object(name)? else { return Ok(vec![]) };
    map.names().map(|name| Ok((name.to_owned(), value(&map, name)?))).collect()
}

/// Writes the configuration of an adapter of the modules that `pattern` matches.
pub(crate) fn write_config(dir: &Path, config: &LoraConfig, pattern: &str, base: &str) -> Result<()> {
    let ranks: Map<_, _> = config.rank_pattern.iter().map(|(name, r)| (name.clone(), json!(r))).collect();
    let alphas: Map<_, _> = config.alpha_pattern.iter().map(|(name, a)| (name.clone(), number(*a))).collect();
    let value = json!({
        "alpha_pattern": alphas,
        "auto_mapping": null,
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": number(config.alpha),
        "lora_dropout": config.dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": config.rank,
        "rank_pattern": ranks,
        "revision": null,
        "target_modules": pattern,
        "task_type": null,
        "use_dora": false,
        "use_rslora": config.rslora,
    });
    let path = config_file(dir);
    std::fs::write(&path, format!("{value:#}\n")).map_err(Error::io(path))
}

/// Whole numbers without a point: some readers take no other alpha.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}
