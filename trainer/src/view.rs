//! Corrupted views of training images: which corruption of which image at which step.
//!
//! One view a prompt and step, shared by its group; the same question has another one the next time it
//! comes. The image keeps its size, so token ids and positions are those of the clean prompt.

use crate::Result;
use crate::recipe::ViewRecipe;
use crate::seeds::{Purpose, permutation, seed};
use foveate_augment::{Corruption, Severity};
use image::RgbImage;

/// The name under which terms read one view drawn each step.
pub const PICKED: &str = "picked";

/// Corruptions by name; a name of a list stands for all of it.
///
/// # Errors
/// A name that is neither.
pub fn resolve(names: &[String]) -> Result<Vec<&'static dyn Corruption>> {
    let one = |name: &String| match foveate_augment::find(name) {
        Ok(corruption) => Ok(vec![corruption]),
        Err(unknown) => foveate_augment::list(name).map_err(|_| unknown.into()),
    };
    Ok(names.iter().map(one).collect::<Result<Vec<_>>>()?.concat())
}

/// A view that is made.
#[derive(Debug)]
pub struct View {
    /// What terms call it.
    pub name: String,
    index: u64,
    corruptions: Vec<&'static dyn Corruption>,
    severities: Vec<Severity>,
    run_seed: u64,
}

impl View {
    /// The views of a recipe.
    ///
    /// # Errors
    /// Unknown corruptions or severities.
    pub fn all(recipes: &[ViewRecipe], run_seed: u64) -> Result<Vec<Self>> {
        let one = |(index, recipe): (usize, &ViewRecipe)| {
            let levels = recipe.severities.iter().map(|&level| Ok(Severity::level(level)?));
            Ok(Self {
                name: recipe.name.clone(),
                index: index as u64,
                corruptions: resolve(&recipe.corruptions)?,
                severities: levels.collect::<Result<_>>()?,
                run_seed,
            })
        };
        recipes.iter().enumerate().map(one).collect()
    }

    /// The view of an image of the sample `sample` at step `step`.
    pub fn of(&self, image: &RgbImage, step: u64, sample: usize) -> RgbImage {
        let draw = |index: u64| seed(self.run_seed, Purpose::View, step, sample as u64, index);
        // One shuffle for all views of a sample: those with the same list take different places of it.
        let order = permutation(draw(0), self.corruptions.len());
        let corruption = self.corruptions[order[self.index as usize % order.len()]];
        let severity = self.severities[(draw(2 + 2 * self.index) % self.severities.len() as u64) as usize];
        corruption.apply(image, severity, draw(3 + 2 * self.index))
    }
}

/// Which view [`PICKED`] stands for at step `step`.
pub fn picked(views: &[View], run_seed: u64, step: u64) -> Option<&str> {
    let draw = seed(run_seed, Purpose::View, step, u64::MAX, 1);
    (!views.is_empty()).then(|| views[(draw % views.len() as u64) as usize].name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(names: &[&str], corruptions: &[&str]) -> Vec<View> {
        let recipe = |name: &&str| ViewRecipe {
            name: name.to_string(),
            corruptions: corruptions.iter().map(ToString::to_string).collect(),
            severities: vec![2, 4],
        };
        View::all(&names.iter().map(recipe).collect::<Vec<_>>(), 5).unwrap()
    }

    #[test]
    fn views_differ_between_steps_and_samples_and_are_repeatable() {
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, 77]));
        let views = views(&["a", "b"], &["gaussian_noise", "block_mask"]);
        let of = |v: usize, step, sample| views[v].of(&image, step, sample).into_raw();
        assert_eq!(of(0, 1, 2), of(0, 1, 2));
        assert_ne!(of(0, 1, 2), of(0, 2, 2));
        assert_ne!(of(0, 1, 2), of(0, 1, 3));
        assert_ne!(of(0, 1, 2), of(1, 1, 2));
        assert_ne!(of(0, 1, 2), image.into_raw());
    }

    #[test]
    fn views_with_one_list_take_different_corruptions() {
        let views = views(&["a", "b", "c"], &["gaussian_noise", "contrast", "block_mask"]);
        for sample in 0..20u64 {
            let order = permutation(seed(5, Purpose::View, 1, sample, 0), 3);
            let mut taken: Vec<_> = views.iter().map(|v| order[v.index as usize % 3]).collect();
            taken.sort_unstable();
            assert_eq!(taken, [0, 1, 2]);
        }
    }

    #[test]
    fn every_view_is_picked_at_times() {
        let views = views(&["a", "b", "c"], &["contrast"]);
        for name in ["a", "b", "c"] {
            assert!((0..40).any(|step| picked(&views, 5, step) == Some(name)), "{name}");
        }
        assert_eq!(picked(&[], 5, 0), None);
    }
}
