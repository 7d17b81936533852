//! A model as commands take it: a directory, and perhaps an adapter on top of it.

use std::path::Path;

use foveate_vision::models::VisionLanguageModel;

use crate::failure::Outcome;
use crate::hub::{self, Stop};

/// Reads the model in `dir`, with the adapter on it that `adapter` names.
pub fn load(dir: &Path, adapter: Option<&Path>, stop: Stop) -> Outcome<VisionLanguageModel> {
    let adapter = adapter.map(|word| hub::adapter(word, stop)).transpose()?;
    let mut model = VisionLanguageModel::load(dir)?;
    if let Some(adapter) = adapter {
        model.load_adapter(&adapter.path)?;
    }
    Ok(model)
}
