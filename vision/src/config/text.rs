//! The language model's part of `config.json`.
//!
//! Decides which spelling wins, in transformers 5's order.

use serde_json::{Value, json};

use super::family::FamilyRow;
use super::fields::Fields;
use super::{Family, TextConfig};
use crate::Result;

/// Fields whose presence means that the MLPs are mixtures of experts.
const EXPERT_FIELDS: [&str; 4] =
    ["num_experts", "num_local_experts", "num_experts_per_tok", "moe_intermediate_size"];

pub(super) fn text(fields: &Fields, root: &Fields, row: &FamilyRow) -> Result<TextConfig> {
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
