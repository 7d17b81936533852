//! The sizes of a model and of its prompts, from config.json, the image settings and the first samples.

use std::path::PathBuf;
use std::str::FromStr;

use foveate_datasets::{OpenOptions, Split, open};
use foveate_trainer::recipe::{ModelRecipe, PartName, Recipe};
use foveate_vision::config::Config;
use foveate_vision::images::ImageProcessor;
use foveate_vision::tiny;

use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need, Reader};

/// Samples that are looked at for the size of their images.
const LOOKED_AT: usize = 16;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug)]
pub struct Sides(usize, usize);

impl FromStr for Sides {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        let (width, height) = sides.ok_or("should be WIDTHxHEIGHT in pixels, as in 1920x1080")?;
        Ok(Self(width, height))
    }
}

/// What the user said of prompts.
pub struct Asked {
    /// Its image.
    pub image: Option<Sides>,
    /// Its other tokens.
    pub text: usize,
}

/// Sizes of a model and of a prompt.
pub struct Shape {
    /// What config.json says.
    pub config: Config,
    /// Parameters of each part.
    pub parts: [(PartName, usize); 3],
    /// Numbers in a patch.
    pub patch_dim: usize,
    images: Vec<Sides>,
    /// Patches of all images of a prompt.
    pub patches: usize,
    /// Tokens of all images of a prompt.
    pub image_tokens: usize,
    text: usize,
}

impl Shape {
    /// Reads what there is without weights.
    pub fn read(recipe: &Recipe, asked: &Asked) -> Outcome<Self> {
        let (config, processor) = model(&recipe.model)?;
        let images = match asked.image {
            Some(sides) => vec![sides],
            None => first_images(recipe, &processor)?,
        };
        let patches = images.iter().map(|sides| patches(&processor, sides)).sum::<Outcome<usize>>()?;
        let image_tokens = patches / (processor.merge_size * processor.merge_size);
        let patch_dim = config.vision.channels * processor.patch_size * processor.patch_size;
        let parts = count(&config);
        Ok(Self { config, parts, patch_dim, images, patches, image_tokens, text: asked.text })
    }

    /// Tokens of a prompt.
    pub fn prompt_tokens(&self) -> usize {
        self.image_tokens + self.text
    }

    /// All parameters.
    pub fn parameters(&self) -> usize {
        self.parts.iter().map(|(_, count)| count).sum()
    }

    /// The parameters of some parts.
    pub fn parameters_of(&self, names: &[PartName]) -> usize {
        self.parts.iter().filter(|(name, _)| names.contains(name)).map(|(_, count)| count).sum()
    }

    /// One line.
    pub fn model(&self) -> String {
        let [vision, merger, text] = self.parts.map(|(_, count)| millions(count));
        let all = millions(self.parameters());
        let family = self.config.family.row().architecture;
        format!("{family}, {all} parameters: vision {vision}, merger {merger}, text {text}")
    }

    /// One line.
    pub fn prompt(&self) -> String {
        let images: Vec<_> = self.images.iter().map(|Sides(w, h)| format!("{w}x{h}")).collect();
        let (tokens, text) = (self.image_tokens, self.text);
        let all = self.prompt_tokens();
        match images.is_empty() {
            true => format!("{all} tokens, no image"),
            false => format!("{all} tokens: {tokens} of an image of {}, {text} of text", images.join(" + ")),
        }
    }
}

fn millions(count: usize) -> String {
    let millions = count as f64 / 1e6;
    if millions < 1000.0 { format!("{millions:.2} M") } else { format!("{:.2} B", millions / 1e3) }
}

fn model(model: &ModelRecipe) -> Outcome<(Config, ImageProcessor)> {
    let Some(spec) = model.tiny() else {
        let dir = hub::model(&model.path, Need::Config, None)?.path;
        return Ok((Config::from_dir(&dir)?, ImageProcessor::from_dir(&dir)?));
    };
    let config = spec.config()?;
    let processor = ImageProcessor {
        patch_size: spec.patch_size,
        temporal_patch_size: config.vision.temporal_patch_size,
        merge_size: config.vision.merge_size,
        min_pixels: spec.min_pixels as u64,
        max_pixels: spec.max_pixels as u64,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    Ok((config, processor))
}

/// Parameters by part, from the published layout.
fn count(config: &Config) -> [(PartName, usize); 3] {
    let mut parts = [(PartName::Vision, 0), (PartName::Merger, 0), (PartName::Text, 0)];
    let vision = config.family.row().vision_prefix;
    for (name, shape) in tiny::tensors(config) {
        let part = match name.strip_prefix(vision) {
            Some(inner) if inner.starts_with("merger") || inner.starts_with("deepstack_merger") => 1,
            Some(_) => 0,
            None => 2,
        };
        parts[part].1 += shape.iter().product::<usize>();
    }
    parts
}

fn patches(processor: &ImageProcessor, Sides(width, height): &Sides) -> Outcome<usize> {
    let (height, width) = processor.smart_resize(*height, *width)?;
    Ok((height / processor.patch_size) * (width / processor.patch_size))
}

/// The images of that sample, of the first ones, which has the most patches.
fn first_images(recipe: &Recipe, processor: &ImageProcessor) -> Outcome<Vec<Sides>> {
    let data = &recipe.data;
    let without = "`--image WIDTHxHEIGHT` plans without the data";
    let place = |path: &PathBuf| hub::data_here(&path.to_string_lossy(), Reader::of(&data.task));
    let place = data.path.as_ref().map(place).transpose().map_err(|fault| fault.help(without))?;
    let path = place.map(|place| place.path);
    let options = OpenOptions { data: path, seed: recipe.seed, size: data.size, ..OpenOptions::default() };
    let wrong = |error: foveate_datasets::Error| Failure::input(error).help(without);
    let task = open(&data.task, &options).map_err(wrong)?;
    let split = if data.split == Split::Test.name() { Split::Test } else { Split::Train };
    let mut most: (usize, Vec<Sides>) = (0, vec![]);
    for index in 0..task.len(split).min(LOOKED_AT) {
        let sample = task.sample(split, index).map_err(wrong)?;
        let mut images = Vec::new();
        for image in &sample.images {
            let picture = image.decode().map_err(wrong)?;
            images.push(Sides(picture.width() as usize, picture.height() as usize));
        }
        let patches = images.iter().map(|sides| patches(processor, sides)).sum::<Outcome<usize>>()?;
        if patches > most.0 {
            most = (patches, images);
        }
    }
    Ok(most.1)
}
