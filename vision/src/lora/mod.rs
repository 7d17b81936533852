//! Low-rank adapters (LoRA) as the library PEFT knows them.
//!
//! Decides which modules an adapter changes, by how much, and how its directory is written and read, so that
//! PEFT, transformers and vLLM load what is written here and the other way round. Modules are named by their
//! path in transformers' model class (`model.language_model.layers.0.self_attn.q_proj`), whatever the files of
//! the model call them. The arithmetic is in [`crate::nn`]; a model takes an adapter by
//! [`VisionLanguageModel::add_adapter`](crate::models::VisionLanguageModel::add_adapter).

mod pattern;
mod peft;

use serde::{Deserialize, Serialize};

use crate::weights::module_path;
use crate::{Error, Result};
pub(crate) use pattern::pattern;
pub(crate) use peft::{WEIGHTS, read_config, write_config};

/// What every tensor name of an adapter begins with.
pub(crate) const PREFIX: &str = "base_model.model.";

/// The linear layers of the language model.
const TEXT: &str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)";

/// An adapter that is to be made, in the words of PEFT's `LoraConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Width between the two matrices (`r`).
    pub rank: usize,
    /// The change is scaled by `alpha / rank` (`lora_alpha`).
    pub alpha: f64,
    /// The share of its input that an adapter drops in training (`lora_dropout`).
    pub dropout: f64,
    /// Scale by `alpha / sqrt(rank)` instead (`use_rslora`).
    pub rslora: bool,
    /// The modules that are changed.
    pub target_modules: Target,
    /// Other ranks of some modules: of the first pattern that the end of a module's path matches.
    #[serde(skip)]
    pub rank_pattern: Vec<(String, usize)>,
    /// Other alphas of some modules, likewise.
    #[serde(skip)]
    pub alpha_pattern: Vec<(String, f64)>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            rslora: false,
            target_modules: Target::Pattern(TEXT.into()),
            rank_pattern: vec![],
            alpha_pattern: vec![],
        }
    }
}

/// Modules, said as PEFT takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// A regular expression that the whole path matches, or `all-linear`.
    Pattern(String),
    /// Ends of paths, as in `q_proj`; of the vision tower as well, where it has modules so called.
    Names(Vec<String>),
}

impl LoraConfig {
    /// Checks ranges and the pattern; `place` names the configuration in errors.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self, place: &str) -> Result<()> {
        let holds = |field: &str, good: bool, expected: &str, found: String| match good {
            true => Ok(()),
            false => Err(Error::input(place, field, expected, found)),
        };
        holds("rank", self.rank > 0, "at least 1", self.rank.to_string())?;
        let alpha = self.alpha > 0.0 && self.alpha.is_finite();
        holds("alpha", alpha, "over 0", self.alpha.to_string())?;
        let dropout = (0.0..1.0).contains(&self.dropout);
        holds("dropout", dropout, "at least 0 and under 1", self.dropout.to_string())?;
        self.target_modules.matcher(place).map(|_| ())
    }

    /// How many numbers the adapter of a model with these published tensors has, and how many of them are the
    /// vision tower's.
    ///
    /// # Errors
    /// As [`LoraConfig::check`].
    pub fn size(&self, tensors: &[(String, Vec<usize>)]) -> Result<(usize, usize)> {
        let (matcher, mut all, mut vision) = (self.target_modules.matcher("lora")?, 0, 0);
        for (name, shape) in tensors {
            let path = module_path(name.strip_suffix(".weight").unwrap_or(name));
            let table = ["embed_tokens", "pos_embed", "lm_head"].iter().any(|table| path.ends_with(table));
            let [outs, inner] = shape[..] else { continue };
            if !table && matcher.matches(&path) {
                let size = self.rank_of(&path) * (outs + inner);
                all += size;
                vision += if path.starts_with("model.visual.") { size } else { 0 };
            }
        }
        Ok((all, vision))
    }

    /// The rank of the module at `path`.
    pub(crate) fn rank_of(&self, path: &str) -> usize {
        pattern::first(&self.rank_pattern, path).unwrap_or(self.rank)
    }

    /// What the change of the module at `path` is multiplied by.
    pub(crate) fn scale_of(&self, path: &str) -> f64 {
        let rank = self.rank_of(path) as f64;
        let alpha = pattern::first(&self.alpha_pattern, path).unwrap_or(self.alpha);
        alpha / if self.rslora { rank.sqrt() } else { rank }
    }
}
