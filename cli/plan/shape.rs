//! The sizes of a model and of its prompts, from config.json, the image settings and the first samples.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use foveate_datasets::prep::Measure;
use foveate_datasets::{OpenOptions, Sample, Split, open};
use foveate_trainer::recipe::{ModelRecipe, PartName, Recipe};
use foveate_vision::config::Config;
use foveate_vision::images::ImageProcessor;
use foveate_vision::tiny;

use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need, Reader};
use crate::prep::tokens::PromptTokens;

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
    pub text: Option<usize>,
    /// The rank of adapters.
    pub lora: Option<u32>,
}

/// Tokens of a question beside its images, where nothing says how many.
const TEXT: usize = 64;

/// Sizes of a model and of a prompt.
pub struct Shape {
    /// What config.json says.
    pub config: Config,
    /// Parameters of each part.
    pub parts: [(PartName, usize); 5],
    /// Numbers in the matrices of the tower, of the mergers and of the text layers.
    pub tower_weights: usize,
    /// As before.
    pub merger_weights: usize,
    /// As before.
    pub text_weights: usize,
    /// Parameters of the adapters that are trained instead of the model.
    pub adapters: Option<usize>,
    /// Whether query and key heads have norms, so that the projection before them is kept.
    pub head_norms: bool,
    /// Numbers in a patch.
    pub patch_dim: usize,
    images: Vec<Sides>,
    /// Patches of all images of a prompt.
    pub patches: usize,
    /// Tokens of all images of a prompt.
    pub image_tokens: usize,
    /// Tokens of a prompt beside its images.
    pub text: usize,
}

impl Shape {
    /// Reads what there is without weights.
    pub fn read(recipe: &Recipe, asked: &Asked) -> Outcome<Self> {
        let Model { config, processor, tokens } = Model::read(&recipe.model)?;
        let (images, counted) = match asked.image {
            Some(sides) => (vec![sides], None),
            None => first_samples(recipe, &processor, tokens.as_ref())?,
        };
        let patches = images.iter().map(|sides| patches(&processor, sides)).sum::<Outcome<usize>>()?;
        let image_tokens = patches / (processor.merge_size * processor.merge_size);
        let patch_dim = config.vision.channels * processor.patch_size * processor.patch_size;
        let text = asked.text.or(counted).unwrap_or(TEXT);
        let parts = count(&config);
        let [tower_weights, merger_weights, text_weights] = matrices(&config);
        let rank = asked.lora.map(|rank| rank as usize).or(recipe.model.lora.as_ref().map(|lora| lora.rank));
        let adapters = rank.map(|rank| rank * adapted(&config));
        let head_norms = tiny::tensors(&config).any(|(name, _)| name.contains("q_norm"));
        Ok(Self {
            config,
            parts,
            tower_weights,
            merger_weights,
            text_weights,
            adapters,
            head_norms,
            patch_dim,
            images,
            patches,
            image_tokens,
            text,
        })
    }

    /// Parameters that the recipe trains.
    pub fn trained(&self, recipe: &Recipe) -> usize {
        self.adapters.unwrap_or_else(|| self.parameters_of(recipe.model.trained()))
    }

    /// Whether gradients of the text model's matrices are computed.
    pub fn trains_text(&self, recipe: &Recipe) -> bool {
        self.adapters.is_none() && recipe.model.trained().contains(&PartName::Text)
    }

    /// Whether gradients flow into what reads images.
    pub fn trains_vision(&self, recipe: &Recipe) -> bool {
        let sees = |part: &PartName| matches!(part, PartName::Vision | PartName::Merger);
        self.adapters.is_none() && recipe.model.trained().iter().any(sees)
    }

    /// Numbers in the output projection.
    pub fn head(&self) -> usize {
        self.config.text.vocab_size * self.config.text.hidden_size
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
        let [vision, merger, text, table, head] = self.parts.map(|(_, count)| count);
        let [vision, merger, text] = [vision, merger, text + table + head].map(millions);
        let all = millions(self.parameters());
        let family = self.config.family.row().architecture;
        format!("{family}, {all} parameters: vision {vision}, merger {merger}, text {text}")
    }

    /// One line.
    pub fn trained_in_words(&self, recipe: &Recipe) -> String {
        let what = if self.adapters.is_some() { "of adapters" } else { "of the model" };
        format!("{} parameters {what}", millions(self.trained(recipe)))
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

/// What a model directory says without its weights.
struct Model {
    config: Config,
    processor: ImageProcessor,
    /// Where its tokenizer is there too.
    tokens: Option<PromptTokens>,
}

impl Model {
    fn read(recipe: &ModelRecipe) -> Outcome<Self> {
        let Some(spec) = recipe.tiny() else {
            let dir = hub::model(&recipe.path, Need::Config, None)?.path;
            return Self::of(&dir);
        };
        // A few megabytes for a moment: what a run makes of the word `tiny`, its tokenizer included.
        let place = tempfile::tempdir().map_err(Failure::work)?;
        tiny::write(place.path(), &spec)?;
        Self::of(place.path())
    }

    fn of(dir: &Path) -> Outcome<Self> {
        let (config, processor) = (Config::from_dir(dir)?, ImageProcessor::from_dir(dir)?);
        let there = dir.join("tokenizer.json").is_file();
        let tokens = there.then(|| PromptTokens::of(dir, None)).transpose()?;
        Ok(Self { config, processor, tokens })
    }
}

/// Parameters by part, from the published layout.
fn count(config: &Config) -> [(PartName, usize); 5] {
    let mut parts = PartName::ALL.map(|part| (part, 0));
    let vision = config.family.row().vision_prefix;
    for (name, shape) in tiny::tensors(config) {
        let part = match name.strip_prefix(vision) {
            Some(inner) if inner.starts_with("merger") || inner.starts_with("deepstack_merger") => 1,
            Some(_) => 0,
            None if name.ends_with("embed_tokens.weight") => 3,
            None if name.starts_with("lm_head") => 4,
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

/// Widths in and out of all matrices of the text layers: what an adapter of rank 1 has.
fn adapted(config: &Config) -> usize {
    let text = |name: &str| !name.starts_with(config.family.row().vision_prefix);
    let layers = tiny::tensors(config).filter(|(name, _)| text(name) && name.contains(".layers."));
    layers.filter(|(_, shape)| shape.len() > 1).map(|(_, shape)| shape.iter().sum::<usize>()).sum()
}

/// Numbers in the matrices of tower, mergers and text layers; what is looked up and not multiplied is left out.
fn matrices(config: &Config) -> [usize; 3] {
    let mut sums = [0; 3];
    for (name, shape) in tiny::tensors(config) {
        let part = match name.strip_prefix(config.family.row().vision_prefix) {
            Some(inner) if inner.contains("merger") => 1,
            Some(inner) if inner.starts_with("pos_embed") => continue,
            Some(_) => 0,
            None if name.contains("embed_tokens") || name.contains("lm_head") => continue,
            None => 2,
        };
        sums[part] += if shape.len() > 1 { shape.iter().product() } else { 0 };
    }
    sums
}

/// The images of that sample, of the first ones, which has the most patches; and the most tokens that one has
/// beside its images, where they can be counted.
fn first_samples(
    recipe: &Recipe,
    processor: &ImageProcessor,
    tokens: Option<&PromptTokens>,
) -> Outcome<(Vec<Sides>, Option<usize>)> {
    let data = &recipe.data;
    let without = "`--image WIDTHxHEIGHT` plans without the data";
    let place = |path: &PathBuf| hub::data_here(&path.to_string_lossy(), Reader::of(&data.task));
    let place = data.path.as_ref().map(place).transpose().map_err(|fault| fault.help(without))?;
    let path = place.map(|place| place.path);
    let options = OpenOptions { data: path, seed: recipe.seed, size: data.size, ..OpenOptions::default() };
    let wrong = |error: foveate_datasets::Error| Failure::input(error).help(without);
    let task = open(&data.task, &options).map_err(wrong)?;
    let split = if data.split == Split::Test.name() { Split::Test } else { Split::Train };
    let (mut most, mut longest) = ((0, vec![]), None);
    for index in 0..task.len(split).min(LOOKED_AT) {
        let sample = task.sample(split, index).map_err(wrong)?;
        let mut images = Vec::new();
        for image in &sample.images {
            let picture = image.decode().map_err(wrong)?;
            images.push(Sides(picture.width() as usize, picture.height() as usize));
        }
        let patches = images.iter().map(|sides| patches(processor, sides)).sum::<Outcome<usize>>()?;
        let asked = Sample { problem: task.prompt(&sample), choices: vec![], ..sample };
        let text = tokens.map(|tokens| text_tokens(tokens, &asked)).transpose().map_err(wrong)?;
        longest = longest.max(text);
        if patches > most.0 {
            most = (patches, images);
        }
    }
    Ok((most.1, longest))
}

fn text_tokens(tokens: &PromptTokens, sample: &Sample) -> foveate_datasets::Result<usize> {
    let mut images = 0;
    for image in &sample.images {
        let (width, height) = image.dimensions()?;
        images += tokens.image(width, height)?;
    }
    Ok(tokens.prompt(sample)?.saturating_sub(images))
}
