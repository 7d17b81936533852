//! A model as commands take it: a directory, and perhaps an adapter on top of it.

use std::path::Path;

use foveate_vision::models::VisionLanguageModel;

use crate::failure::Outcome;

/// Reads the model in `dir`, with the adapter in `adapter` on it.
pub fn load(dir: &Path, adapter: Option<&Path>) -> Outcome<VisionLanguageModel> {
    let mut model = VisionLanguageModel::load(dir)?;
    if let Some(adapter) = adapter {
        model.load_adapter(adapter)?;
    }
    Ok(model)
}
