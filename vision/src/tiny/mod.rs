//! Small models with random weights, written as the published ones are laid out.
//!
//! Decides the sizes and the initial weights of the model that the quickstart trains and of those that tests
//! run. Knows nothing of training; whatever reads a directory from elsewhere reads one of these.

mod draw;
mod files;
mod parameters;
mod tokens;
mod words;

use std::path::Path;

use serde_json::Value;

use crate::config::{Config, Family};
use crate::weights::{self, Layout};
use crate::{Error, Result};
pub(crate) use draw::{fnv1a, generator};
use parameters::parameters;
use tokens::Tokens;
pub use words::WORDS;

/// What first weights are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// To be trained: calm logits, gains of one, biases of zero.
    Scratch,
    /// To be tested: spread logits, and no gain or bias that could be left out unnoticed.
    Probe,
}

/// A small model.
///
/// What is not said follows: Qwen2.5-VL's windows are 2x2 merge blocks and every second vision block attends
/// to the whole frame; Qwen3-VL takes deepstack features from every second vision block, as far as there are
/// text layers.
#[derive(Clone, Debug)]
pub struct TinySpec<'a> {
    /// Family.
    pub family: Family,
    /// Width of the language model.
    pub hidden: usize,
    /// Its layers.
    pub layers: usize,
    /// Its query heads.
    pub heads: usize,
    /// Its key and value heads.
    pub kv_heads: usize,
    /// Width of a head; only Qwen3-VL may choose another than `hidden / heads`.
    pub head_dim: Option<usize>,
    /// Width of its MLP.
    pub intermediate: usize,
    /// Width of the vision tower.
    pub vision_hidden: usize,
    /// Its blocks.
    pub vision_depth: usize,
    /// Its heads.
    pub vision_heads: usize,
    /// Width of its MLP; for Qwen2-VL a multiple of `vision_hidden`.
    pub vision_intermediate: usize,
    /// Side of a patch in pixels; a token sees a square of twice the side.
    pub patch_size: usize,
    /// Smaller images are enlarged to this area in pixels.
    pub min_pixels: usize,
    /// Larger images are shrunk to this area in pixels.
    pub max_pixels: usize,
    /// Whether `lm_head` is the embedding.
    pub tied: bool,
    /// Seed of the weights.
    pub seed: u64,
    /// Words that are one token each, with and without a space before.
    pub words: &'a [&'a str],
    /// Kind of weights.
    pub init: Init,
}

impl TinySpec<'_> {
    /// The smallest model of a family in which everything of that family occurs: several windows, window and
    /// whole-frame blocks, deepstack, grouped heads; Qwen3-VL with heads wider than `hidden / heads`.
    /// Untied for Qwen2.5-VL, tied for the others.
    pub fn laws(family: Family) -> TinySpec<'static> {
        let qwen3 = family == Family::Qwen3Vl;
        TinySpec {
            family,
            hidden: 64,
            layers: 3,
            heads: 4,
            kv_heads: 2,
            head_dim: qwen3.then_some(32),
            intermediate: 96,
            vision_hidden: 32,
            vision_depth: 4,
            vision_heads: 4,
            vision_intermediate: 64,
            patch_size: if qwen3 { 16 } else { 14 },
            min_pixels: 56 * 56,
            max_pixels: 224 * 224,
            tied: family != Family::Qwen2_5Vl,
            seed: 1,
            words: &[],
            init: Init::Probe,
        }
    }

    /// The model of the quickstart: a Qwen2.5-VL of 1.5 million parameters that sees an image of 56x56
    /// as 4 tokens (112x112 as 16, 224x224 as 64), with the words of the built-in tasks as tokens.
    pub fn quickstart() -> TinySpec<'static> {
        TinySpec {
            family: Family::Qwen2_5Vl,
            hidden: 128,
            layers: 4,
            heads: 4,
            kv_heads: 2,
            head_dim: None,
            intermediate: 256,
            vision_hidden: 96,
            vision_depth: 4,
            vision_heads: 4,
            vision_intermediate: 192,
            patch_size: 14,
            min_pixels: 56 * 56,
            max_pixels: 224 * 224,
            tied: false,
            seed: 0,
            words: WORDS,
            init: Init::Scratch,
        }
    }

    /// The config that [`write()`] writes.
    ///
    /// # Errors
    /// If the sizes do not fit each other, in the words of [`Config::from_dir`]; if a word cannot be a token.
    pub fn config(&self) -> Result<Config> {
        files::config(self, &Tokens::build(self.words, self.family)?)
    }
}

/// Published names and shapes of the tensors of any model with this config, in the order in which data flows.
pub fn tensors(config: &Config) -> impl Iterator<Item = (String, Vec<usize>)> {
    parameters(config).into_iter().map(|parameter| (parameter.name, parameter.shape))
}

/// Writes a whole model directory, which is made if it is not there.
///
/// # Errors
/// As [`TinySpec::config`]; if a file cannot be written; if the directory holds weights already.
pub fn write(dir: &Path, spec: &TinySpec) -> Result<()> {
    let tokens = Tokens::build(spec.words, spec.family)?;
    let config = files::config(spec, &tokens)?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let tensors = parameters(&config).into_iter().map(|parameter| {
        let values = draw::values(spec, &parameter);
        (parameter.name, parameter.shape, values.into())
    });
    weights::save(dir, tensors, &Layout::default())?;
    for (name, value) in files::small(spec, &config, &tokens) {
        put(dir, name, &format!("{value:#}\n"))?;
    }
    put(dir, "tokenizer.json", &tokens.to_json().to_string())?;
    put(dir, "chat_template.jinja", &files::chat_template(spec.family))
}

fn put(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::write(&path, text).map_err(Error::io(&path))
}

/// File name and content.
type Small = (&'static str, Value);
