//! What a model directory says of its architecture, one shape for all families.
//!
//! Decides how the spellings of `config.json` (flat as published for Qwen2-VL and Qwen2.5-VL, nested
//! `text_config`/`vision_config` as Qwen3-VL and transformers 5 write it) become [`Config`]. Knows
//! nothing of weights.

mod check;
mod family;
pub(crate) mod fields;
mod generation;
mod read;
mod text;
mod vision;

use std::path::Path;

use crate::Result;
pub use family::{FAMILIES, FamilyRow};
use fields::Fields;
pub use generation::GenerationConfig;

/// A model family this crate implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `Qwen2VLForConditionalGeneration`
    Qwen2Vl,
    /// `Qwen2_5_VLForConditionalGeneration`
    Qwen2_5Vl,
    /// `Qwen3VLForConditionalGeneration`
    Qwen3Vl,
}

/// The language model.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding; at least the tokenizer's size.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head; `hidden_size / heads` where the file is silent.
    pub head_dim: usize,
    /// Epsilon of the RMS norms.
    pub norm_eps: f32,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// Frequencies for (t, h, w); their sum is `head_dim / 2`.
    pub mrope_section: [usize; 3],
    /// Interleaved (Qwen3) or in blocks (Qwen2).
    pub mrope_interleaved: bool,
    /// Whether `lm_head` is the embedding.
    pub tied: bool,
    /// Longest position the model was made for.
    pub max_position_embeddings: usize,
}

/// Nonlinearity of a vision block's MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisionAct {
    /// `x * sigmoid(1.702 x)` (Qwen2-VL)
    QuickGelu,
    /// Gated, with biases (Qwen2.5-VL)
    SwiGlu,
    /// tanh approximation (Qwen3-VL)
    GeluTanh,
}

/// The vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of a block (`embed_dim` for Qwen2-VL).
    pub hidden_size: usize,
    /// Width of the MLP (`embed_dim * mlp_ratio` for Qwen2-VL).
    pub intermediate_size: usize,
    /// Attention heads.
    pub heads: usize,
    /// Colour channels, 3.
    pub channels: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames in a patch.
    pub temporal_patch_size: usize,
    /// Side of a merge block in patches.
    pub merge_size: usize,
    /// Width of the merged features: the text model's.
    pub out_hidden_size: usize,
    /// Nonlinearity of the MLP.
    pub act: VisionAct,
    /// RMS norm (Qwen2.5-VL) instead of layer norm.
    pub rms_norm: bool,
    /// Side of an attention window in pixels; `None` where every block attends to the whole frame.
    pub window_size: Option<usize>,
    /// Blocks that attend to the whole frame although there are windows.
    pub full_attention_blocks: Vec<usize>,
    /// Blocks whose output feeds the first text layers (Qwen3-VL).
    pub deepstack_blocks: Vec<usize>,
    /// Rows of the learned position table (Qwen3-VL); a square number.
    pub position_embeddings: Option<usize>,
}

/// A whole model directory's `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which family.
    pub family: Family,
    /// The language model.
    pub text: TextConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// `<|image_pad|>`
    pub image_token_id: u32,
    /// `<|video_pad|>`
    pub video_token_id: u32,
    /// `<|vision_start|>`
    pub vision_start_token_id: u32,
    /// `<|vision_end|>`
    pub vision_end_token_id: u32,
    /// The file as it was read, to be written back.
    pub raw: serde_json::Value,
}

impl Config {
    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    /// Names the file, the field and the two values for an unknown architecture, a mixture of experts, a
    /// missing or mistyped field, or sizes that do not fit each other.
    pub fn from_dir(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        Self::from_value(fields::read_json(&path)?, &path.display().to_string())
    }

    /// Reads what `config.json` holds; `place` is how errors call it.
    ///
    /// # Errors
    /// As [`Config::from_dir`].
    pub fn from_value(raw: serde_json::Value, place: &str) -> Result<Self> {
        let mut config = {
            let root = Fields::root(place, &raw)?;
            read::config(&root)?
        };
        check::sizes(&config, place)?;
        config.raw = raw;
        Ok(config)
    }
}
