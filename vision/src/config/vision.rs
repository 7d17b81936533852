//! The vision tower's part of `config.json`.
//!
//! Decides how each family spells its widths and which blocks are special.

use serde_json::json;

use super::family::FamilyRow;
use super::fields::Fields;
use super::{Family, VisionConfig};
use crate::Result;

pub(super) fn vision(fields: &Fields, row: &FamilyRow) -> Result<VisionConfig> {
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
