//! Damaged copies of pictures, made offline: for sets of degraded pairs, and to look at.

use foveate_augment::{Corruption, Severity, parse};
use foveate_datasets::{ImageRef, Result, Sample};
use foveate_trainer::seeds::{Purpose, seed};
use image::RgbImage;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::failure::{Failure, Outcome};
use crate::generate::fingerprint;

/// Which damage, and how much.
#[derive(Debug, clap::Args)]
pub struct ViewArgs {
    /// Severity of the damage, 1 to 5, where its own words do not say (gaussian_blur@2)
    #[arg(long, value_name = "LEVEL", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    severity: u8,
    /// Decides every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// One kind of damage.
pub struct View {
    words: String,
    corruption: Box<dyn Corruption>,
    severity: Severity,
    seed: u64,
}

impl ViewArgs {
    /// The kinds of damage that `specs` name.
    pub fn views(&self, specs: &[String]) -> Outcome<Vec<View>> {
        let severity = Severity::level(self.severity).map_err(Failure::input)?;
        let one = |words: &String| {
            let corruption = parse(words).map_err(|error| Failure::input(error).at("command line"))?;
            Ok(View { words: words.clone(), corruption, severity, seed: self.seed })
        };
        specs.iter().map(one).collect()
    }
}

impl View {
    /// What it is, for captions and for the identity of an import.
    pub fn name(&self) -> String {
        let level = self.severity.levels();
        if self.words.contains('@') { self.words.clone() } else { format!("{}@{level}", self.words) }
    }

    /// The damage of image `index` of the sample called `id`; the same whatever else is read.
    pub fn of(&self, image: &RgbImage, id: &str, index: usize) -> RgbImage {
        let draw = seed(self.seed, Purpose::View, 0, fingerprint(id), index as u64);
        self.corruption.apply(image, self.severity, draw)
    }

    /// A copy of `sample` with every image damaged. Ids and metadata are those of Q-Hawkeye's lists.
    fn copy(&self, sample: &Sample) -> Result<Sample> {
        let mut copy = sample.clone();
        copy.id = format!("{}~{}", sample.id, self.name());
        for (k, image) in copy.images.iter_mut().enumerate() {
            *image = ImageRef::Rgb(Arc::new(self.of(image.decode()?.as_ref(), &sample.id, k)));
        }
        let originals: Vec<Value> = sample.images.iter().map(|image| image.place().into()).collect();
        copy.meta.insert("degradation_type".into(), self.name().into());
        copy.meta.insert("is_degraded".into(), true.into());
        copy.meta.insert("original_images".into(), originals.into());
        Ok(copy)
    }
}

/// The sample, and after it a damaged copy for each of `views`, in one group. One without an image stays alone.
pub fn pairs(sample: Sample, views: &[View]) -> Result<Vec<Sample>> {
    if sample.images.is_empty() {
        return Ok(vec![sample]);
    }
    let mut first = sample;
    first.meta.insert("group_id".into(), json!(first.id));
    let copies: Vec<Sample> = views.iter().map(|view| view.copy(&first)).collect::<Result<_>>()?;
    first.meta.insert("is_degraded".into(), false.into());
    Ok(std::iter::once(first).chain(copies).collect())
}
