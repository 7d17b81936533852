//! From the fields of `config.json` to a [`Config`], whichever way they are spelled.
//!
//! Decides which family a file means, and refuses what this crate does not compute: silence would give
//! other numbers than the model's own. Does not judge whether sizes fit each other.

use serde_json::Value;

use super::Config;
use super::family::{FAMILIES, FamilyRow};
use super::fields::Fields;
use super::text::text;
use super::vision::vision;
use crate::Result;

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
        Some(found) => match found.as_array().map(Vec::as_slice) {
            Some([Value::String(name)]) => Some(name.as_str()),
            _ => return Err(root.wrong("architectures", "a list of one name", found)),
        },
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
