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
    let own =
        |name: &str, default: Option<usize>| default.map(|default| fields.size(name, default)).transpose();
    // Families without windows or deepstack have none, whatever their files say.
    let blocks = |there: bool, name: &str, default: &[usize]| {
        if there { fields.indexes(name, default) } else { Ok(vec![]) }
    };
    let (full, deep) = (&default.full_attention_blocks, &default.deepstack_blocks);
    let windows = default.window_size.is_some();
    Ok(VisionConfig {
        depth: fields.size("depth", default.depth)?,
        hidden_size,
        intermediate_size,
        heads: fields.size("num_heads", default.heads)?,
        patch_size: fields.size("patch_size", default.patch_size)?,
        temporal_patch_size: fields.size("temporal_patch_size", default.temporal_patch_size)?,
        merge_size: fields.size("spatial_merge_size", default.merge_size)?,
        out_hidden_size,
        window_size: own("window_size", default.window_size)?,
        full_attention_blocks: blocks(windows, "fullatt_block_indexes", full)?,
        deepstack_blocks: blocks(!deep.is_empty(), "deepstack_visual_indexes", deep)?,
        position_embeddings: own("num_position_embeddings", default.position_embeddings)?,
        ..default
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
