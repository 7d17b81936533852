//! A model that answers, with everything that stands before and after it.

use crate::recipe::{ModelRecipe, PartName, RolloutRecipe};
use crate::{Error, Result};
use candle_core::Device;
use foveate_vision::config::GenerationConfig;
use foveate_vision::generate::Sampling;
use foveate_vision::models::{Part, VisionLanguageModel};
use foveate_vision::processor::Processor;
use std::path::Path;

/// A model of this process.
#[derive(Debug)]
pub struct LocalPolicy {
    /// The weights.
    pub model: VisionLanguageModel,
    /// Pictures and messages to prompts.
    pub processor: Processor,
    /// What the directory says of sampling; the ids that end an answer are read from here.
    pub generation: GenerationConfig,
}

impl LocalPolicy {
    /// Reads a Hugging Face model directory; nothing is trainable yet.
    ///
    /// # Errors
    /// A directory that is not whole, or that names no id to end an answer with.
    pub fn load(dir: &Path) -> Result<Self> {
        let policy = Self {
            model: VisionLanguageModel::load_on(dir, &Device::Cpu)?,
            processor: Processor::from_dir(dir)?,
            generation: GenerationConfig::from_dir(dir)?,
        };
        policy.model.set_trainable(&[]);
        if policy.generation.eos_token_ids.is_empty() {
            let message = "`eos_token_id` should name the ids that end an answer, but names none";
            return Err(Error::run(dir.join("generation_config.json"), message));
        }
        Ok(policy)
    }

    /// Thaws what the recipe trains.
    pub fn train(&mut self, recipe: &ModelRecipe) {
        let part = |name: &PartName| match name {
            PartName::Vision => Part::Vision,
            PartName::Merger => Part::Merger,
            PartName::Text => Part::Text,
        };
        self.model.set_trainable(&recipe.train.iter().map(part).collect::<Vec<_>>());
        self.model.set_checkpointing(recipe.checkpointing);
    }

    /// Writes a Hugging Face model directory into the empty directory `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.model.save_weights(dir)?;
        self.processor.save(dir)?;
        write_json(&dir.join("config.json"), &self.model.config().raw)?;
        write_json(&dir.join("generation_config.json"), &self.generation.to_json())
    }

    /// How rollouts are sampled.
    pub fn sampling(&self, recipe: &RolloutRecipe) -> Sampling {
        Sampling {
            max_tokens: recipe.max_tokens,
            min_tokens: recipe.min_tokens,
            temperature: recipe.temperature,
            top_p: recipe.top_p,
            stop_ids: self.generation.eos_token_ids.clone(),
            tokenizer_size: self.processor.tokenizer.size(),
            ..Sampling::default()
        }
    }

    /// How answers are taken when they are measured: the likeliest token each time.
    pub fn greedy(&self, max_tokens: usize) -> Sampling {
        Sampling {
            max_tokens,
            temperature: 0.0,
            stop_ids: self.generation.eos_token_ids.clone(),
            tokenizer_size: self.processor.tokenizer.size(),
            ..Sampling::default()
        }
    }

    /// The text of an answer's tokens, special ones left out.
    ///
    /// # Errors
    /// Ids that the tokenizer does not know.
    pub fn text(&self, ids: &[u32]) -> Result<String> {
        Ok(self.processor.tokenizer.decode(ids, true)?)
    }
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    std::fs::write(path, format!("{value:#}\n")).map_err(Error::io(path))
}
