//! A model that answers, with everything that stands before and after it.

use crate::recipe::{ModelRecipe, PartName, RolloutRecipe};
use crate::seeds::{Purpose, seed};
use crate::{Error, Result};
use foveate_vision::config::GenerationConfig;
use foveate_vision::generate::Sampling;
use foveate_vision::models::{Part, Placement, VisionLanguageModel};
use foveate_vision::processor::Processor;
use foveate_vision::weights::Precision;
use std::path::{Path, PathBuf};

/// A model of this process.
#[derive(Debug)]
pub struct LocalPolicy {
    /// The weights.
    pub model: VisionLanguageModel,
    /// Pictures and messages to prompts.
    pub processor: Processor,
    /// What the directory says of sampling; the ids that end an answer are read from here.
    pub generation: GenerationConfig,
    /// The directory it was read from: what an adapter says it belongs to.
    pub origin: PathBuf,
}

impl LocalPolicy {
    /// Reads a Hugging Face model directory; nothing is trainable yet.
    ///
    /// # Errors
    /// A directory that is not whole, or that names no id to end an answer with.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_on(dir, &Placement::default())
    }

    /// [`LocalPolicy::load`] onto a device, in the numbers of its choice.
    ///
    /// # Errors
    /// As [`LocalPolicy::load`].
    pub fn load_on(dir: &Path, placement: &Placement) -> Result<Self> {
        let policy = Self {
            model: VisionLanguageModel::load_on(dir, placement)?,
            processor: Processor::from_dir(dir)?,
            generation: GenerationConfig::from_dir(dir)?,
            origin: dir.canonicalize().unwrap_or_else(|_| dir.into()),
        };
        policy.model.set_trainable(&[]);
        if policy.generation.eos_token_ids.is_empty() {
            let message = "`eos_token_id` should name the ids that end an answer, but names none";
            return Err(Error::run(dir.join("generation_config.json"), message));
        }
        Ok(policy)
    }

    /// Puts the adapter on that the recipe trains, if it does: a new one, or one of a directory.
    ///
    /// # Errors
    /// An adapter that does not fit the model.
    pub fn adapt(&mut self, recipe: &ModelRecipe, run_seed: u64) -> Result<()> {
        if let Some(lora) = &recipe.lora {
            self.model.add_adapter(lora, seed(run_seed, Purpose::Adapter, 0, 0, 0))?;
        }
        if let Some(dir) = recipe.adapter_dir() {
            self.model.load_adapter(dir)?;
        }
        Ok(())
    }

    /// Thaws what the recipe trains, and calls the model what the recipe calls it where that is a name on the hub.
    ///
    /// # Errors
    /// The head alone of a model whose head is its embedding.
    pub fn train(&mut self, recipe: &ModelRecipe) -> Result<()> {
        let parts = recipe.trained();
        let (head, table) = (parts.contains(&PartName::LmHead), parts.contains(&PartName::Embeddings));
        if head && !table && self.model.config().text.tied {
            let message = "`lm_head` should come with `embeddings`, as they are one matrix in this model";
            return Err(Error::Recipe { place: "model.train".into(), message: message.into() });
        }
        self.model.set_trainable(&parts.iter().copied().map(Part::from).collect::<Vec<_>>());
        self.model.set_checkpointing(recipe.checkpointing);
        if recipe.found.is_some() {
            self.origin = recipe.path.clone();
        }
        Ok(())
    }

    /// Writes a Hugging Face model directory into the empty directory `dir`; of a model with an adapter, the
    /// directory of the adapter.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, dir: &Path) -> Result<()> {
        if self.model.adapter().is_some() {
            return Ok(self.model.save_adapter(dir, &self.origin.display().to_string())?);
        }
        self.save_model(dir, Precision::F32)
    }

    /// Writes a Hugging Face model directory into the empty directory `dir`, without the adapter but where it is
    /// merged.
    ///
    /// # Errors
    /// Those of the file system, and numbers that `precision` cannot hold.
    pub fn save_model(&self, dir: &Path, precision: Precision) -> Result<()> {
        self.model.save_weights(dir, precision)?;
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
