//! The names in a recipe, found before the run begins.

use std::path::{Path, PathBuf};

use foveate_trainer::recipe::Recipe;

use super::{Need, Place, Reader, Stop, adapter, data, model};
use crate::failure::Outcome;

/// Fetches what the recipe names, and writes the commits into it, so that the run's own recipe means the same
/// files for ever. `weights`: whether the model is still to be read.
pub fn locate(recipe: &mut Recipe, weights: bool, stop: Stop) -> Outcome<()> {
    if recipe.model.tiny().is_none() && weights {
        let place = model(&recipe.model.path, Need::Weights, stop)?;
        settle(place, &mut recipe.model.path, &mut recipe.model.found);
    }
    if let Some(word) = recipe.model.adapter.as_mut().filter(|_| weights) {
        settle(adapter(word, stop)?, word, &mut recipe.model.adapter_found);
    }
    let training = (recipe.data.task.as_str(), &mut recipe.data.path, &mut recipe.data.found);
    let measured = recipe.eval.iter_mut().map(|eval| (eval.task.as_str(), &mut eval.path, &mut eval.found));
    for (task, path, found) in std::iter::once(training).chain(measured) {
        if let Some(path) = path {
            let place = data(&said(path), Reader::of(task), stop)?;
            settle(place, path, found);
        }
    }
    Ok(())
}

fn said(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn settle(place: Place, path: &mut PathBuf, found: &mut Option<PathBuf>) {
    if let Some(pinned) = place.pinned {
        (*path, *found) = (pinned.into(), Some(place.path));
    }
}
