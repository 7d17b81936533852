//! From the fields of `config.json` to a [`Config`], whichever way they are spelled.
//!
//! Decides which spelling wins (transformers 5's order) and refuses what this crate does not compute:
//! silence would give other numbers than the model's own. Does not judge whether sizes fit each other.

use serde_json::{Value, json};

use super::family::{FAMILIES, FamilyRow};
use super::fields::Fields;
use super::{Config, Family, TextConfig, VisionConfig};
use crate::Result;

/// Fields whose presence means that the MLPs are mixtures of experts.
const EXPERT_FIELDS: [&str; 4] =
    ["num_experts", "num_local_experts", "num_experts_per_tok", "moe_intermediate_size"];

pub(super) fn config(root: &Fields) -> Result<Config> {
    let row = family(root)?;
    if root.get("quantization_config").is_some() {
        return Err(root.wrong("quantization_config", "absent", "there: only float weights are read"));
    }
    let text_config = root.object("text_config")?;
    let vision_config =
        root.object("vision_config")?.ok_or_else(|| root.wrong("vision_config", "an object", "missing"))?;
    Ok(Config {
        family: row.family,
        text: text(text_config.as_ref().unwrap_or(root), root, row)?,
        vision: vision(&vision_config, row)?,
        image_token_id: root.token("image_token_id", 151_655)?,
        video_token_id: root.token("video_token_id", 151_656)?,
        vision_start_token_id: root.token("vision_start_token_id", 151_652)?,
        vision_end_token_id: root.token("vision_end_token_id", 151_653)?,
        raw: Value::Null,
    })
}

/// `architectures` decides; where it is silent, `model_type`. Both must agree.
fn family(root: &Fields) -> Result<&'static FamilyRow> {
    let known = |name: fn(&FamilyRow) -> &str| {
        let names: Vec<_> = FAMILIES.iter().map(name).collect();
        format!("one of {}", names.join(", "))
    };
    let architecture = match root.get("architectures") {
        None => None,
        Some(Value::Array(all)) if all.len() == 1 => all[0].as_str(),
        Some(other) => return Err(root.wrong("architectures", "a list of one name", other)),
    };
    let model_type = root.text("model_type")?;
    let row = match (architecture, model_type) {
        (Some(name), _) => FAMILIES
            .iter()
            .find(|row| row.architecture == name)
            .ok_or_else(|| root.wrong("architectures", known(|row| row.architecture), name))?,
        (None, name) => FAMILIES.iter().find(|row| Some(row.model_type) == name).ok_or_else(|| {
            root.wrong("model_type", known(|row| row.model_type), name.unwrap_or("missing"))
        })?,
    };
    match model_type {
        Some(name) if name != row.model_type => Err(root.wrong("model_type", row.model_type, name)),
        _ => Ok(row),
    }
}

fn text(fields: &Fields, root: &Fields, row: &FamilyRow) -> Result<TextConfig> {
    refuse_text(fields)?;
    let default = &row.text;
    let hidden_size = fields.size("hidden_size", default.hidden_size)?;
    let heads = fields.size("num_attention_heads", default.heads)?;
    let kv_heads = if fields.is_null("num_key_value_heads") { heads } else { default.kv_heads };
    let rope = Rope::read(fields, row)?;
    Ok(TextConfig {
        vocab_size: fields.size("vocab_size", default.vocab_size)?,
        hidden_size,
        intermediate_size: fields.size("intermediate_size", default.intermediate_size)?,
        layers: fields.size("num_hidden_layers", default.layers)?,
        heads,
        kv_heads: fields.size("num_key_value_heads", kv_heads)?,
        head_dim: head_dim(fields, row, hidden_size, heads)?,
        norm_eps: fields.positive("rms_norm_eps", f64::from(default.norm_eps))? as f32,
        rope_theta: rope.theta,
        mrope_section: rope.section,
        mrope_interleaved: default.mrope_interleaved,
        tied: tied(fields, root, row)?,
        max_position_embeddings: fields.size("max_position_embeddings", default.max_position_embeddings)?,
    })
}

/// What the text model could ask for and this crate does not compute.
fn refuse_text(fields: &Fields) -> Result<()> {
    for name in EXPERT_FIELDS {
        if fields.get(name).is_some_and(|value| value.as_u64() != Some(0)) {
            let found = fields.get(name).unwrap_or(&Value::Null);
            return Err(fields.wrong(name, "absent (no mixture of experts)", found));
        }
    }
    fields.must_be("hidden_act", &json!("silu"))?;
    fields.must_be("use_sliding_window", &json!(false))?;
    fields.must_be("attention_bias", &json!(false))?;
    let full = "a list with full_attention throughout";
    match fields.get("layer_types") {
        None => Ok(()),
        Some(Value::Array(all)) if all.iter().all(|kind| *kind == json!("full_attention")) => Ok(()),
        Some(other) => Err(fields.wrong("layer_types", full, other)),
    }
}

/// Qwen3-VL says it; the older families have none to say.
fn head_dim(fields: &Fields, row: &FamilyRow, hidden: usize, heads: usize) -> Result<usize> {
    if row.family == Family::Qwen3Vl {
        return fields.size("head_dim", row.text.head_dim);
    }
    if !hidden.is_multiple_of(heads) {
        let expected = format!("a multiple of num_attention_heads ({heads})");
        return Err(fields.wrong("hidden_size", expected, hidden));
    }
    fields.must_be("head_dim", &json!(hidden / heads))?;
    Ok(hidden / heads)
}

/// Qwen2 files before transformers 5 said it in `text_config`, where the root's `false` was a default.
fn tied(fields: &Fields, root: &Fields, row: &FamilyRow) -> Result<bool> {
    let name = "tie_word_embeddings";
    let (outer, inner) = (root.flag(name)?, fields.flag(name)?);
    Ok(match row.family {
        Family::Qwen3Vl => outer.or(inner) == Some(true),
        _ => outer == Some(true) || inner == Some(true),
    })
}

struct Rope {
    theta: f64,
    section: [usize; 3],
}

impl Rope {
    /// `rope_scaling` (older) wins over `rope_parameters` (transformers 5); `rope_theta` may stand within or
    /// beside.
    fn read(fields: &Fields, row: &FamilyRow) -> Result<Self> {
        let default = &row.text;
        let beside = fields.positive("rope_theta", default.rope_theta)?;
        let within = match fields.object("rope_scaling")? {
            Some(found) if !found.is_empty() => Some(found),
            _ => fields.object("rope_parameters")?,
        };
        let Some(rope) = within else {
            return Ok(Self { theta: beside, section: default.mrope_section });
        };
        let name = if rope.get("rope_type").is_some() { "rope_type" } else { "type" };
        if let Some(kind) = rope.text(name)?.filter(|kind| !["default", "mrope"].contains(kind)) {
            return Err(rope.wrong(name, "default or mrope", kind));
        }
        rope.must_be("mrope_interleaved", &json!(default.mrope_interleaved))?;
        rope.must_be("partial_rotary_factor", &json!(1))?;
        let section = rope.indexes("mrope_section", &default.mrope_section)?;
        let section = <[usize; 3]>::try_from(section)
            .map_err(|found| rope.wrong("mrope_section", "three numbers", format!("{found:?}")))?;
        Ok(Self { theta: rope.positive("rope_theta", beside)?, section })
    }
}

fn vision(fields: &Fields, row: &FamilyRow) -> Result<VisionConfig> {
    let default = (row.vision)();
    fields.must_be("hidden_act", &json!(row.vision_act))?;
    for name in ["in_channels", "in_chans"] {
        fields.must_be(name, &json!(default.channels))?;
    }
    if let Some(rope) = fields.object("rope_parameters")? {
        rope.must_be("rope_theta", &json!(10_000))?;
        rope.must_be("rope_type", &json!("axial"))
            .or_else(|_| rope.must_be("rope_type", &json!("default")))?;
    }
    let (hidden_size, intermediate_size, out_hidden_size) = vision_widths(fields, row, &default)?;
    let window_size = match default.window_size {
        Some(side) => Some(fields.size("window_size", side)?),
        None => None,
    };
    let position_embeddings = match default.position_embeddings {
        Some(rows) => Some(fields.size("num_position_embeddings", rows)?),
        None => None,
    };
    let blocks = |there: bool, name: &str, default: &[usize]| {
        if there { fields.indexes(name, default) } else { Ok(vec![]) }
    };
    let full = &default.full_attention_blocks;
    let deep = &default.deepstack_blocks;
    Ok(VisionConfig {
        depth: fields.size("depth", default.depth)?,
        hidden_size,
        intermediate_size,
        heads: fields.size("num_heads", default.heads)?,
        channels: default.channels,
        patch_size: fields.size("patch_size", default.patch_size)?,
        temporal_patch_size: fields.size("temporal_patch_size", default.temporal_patch_size)?,
        merge_size: fields.size("spatial_merge_size", default.merge_size)?,
        out_hidden_size,
        act: default.act,
        rms_norm: default.rms_norm,
        full_attention_blocks: blocks(window_size.is_some(), "fullatt_block_indexes", full)?,
        deepstack_blocks: blocks(position_embeddings.is_some(), "deepstack_visual_indexes", deep)?,
        window_size,
        position_embeddings,
    })
}

/// Qwen2-VL calls the tower's width `embed_dim` and the text model's `hidden_size`.
fn vision_widths(fields: &Fields, row: &FamilyRow, default: &VisionConfig) -> Result<(usize, usize, usize)> {
    if row.family == Family::Qwen2Vl {
        let hidden = fields.size("embed_dim", default.hidden_size)?;
        let ratio = default.intermediate_size / default.hidden_size;
        let intermediate = hidden * fields.size("mlp_ratio", ratio)?;
        return Ok((hidden, intermediate, fields.size("hidden_size", default.out_hidden_size)?));
    }
    Ok((
        fields.size("hidden_size", default.hidden_size)?,
        fields.size("intermediate_size", default.intermediate_size)?,
        fields.size("out_hidden_size", default.out_hidden_size)?,
    ))
}
