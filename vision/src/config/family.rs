//! The table of families: what each calls itself and what it leaves unsaid.
//!
//! Decides the defaults, which are those of transformers' configuration classes (5.23.0), so that a
//! config that is silent means the same here and there. Knows nothing of files.

use super::{Family, TextConfig, VisionAct, VisionConfig};
use crate::grounding::Frame;

/// One family.
pub struct FamilyRow {
    /// Which.
    pub family: Family,
    /// Its entry in `architectures`.
    pub architecture: &'static str,
    /// Its `model_type`.
    pub model_type: &'static str,
    /// `hidden_act` of the vision tower.
    pub vision_act: &'static str,
    /// What published tensor names of the vision tower begin with.
    pub vision_prefix: &'static str,
    /// What published tensor names of the language model begin with.
    pub text_prefix: &'static str,
    /// What the coordinates of a box count, as the family was trained to say them. Qwen's own notes:
    /// thousandths for Qwen2-VL, pixels of the resized image for Qwen2.5-VL, thousandths again for Qwen3-VL.
    pub frame: Frame,
    pub(super) text: TextConfig,
    pub(super) vision: fn() -> VisionConfig,
}

impl Family {
    /// The family's row of [`FAMILIES`].
    pub fn row(self) -> &'static FamilyRow {
        match self {
            Self::Qwen2Vl => &FAMILIES[0],
            Self::Qwen2_5Vl => &FAMILIES[1],
            Self::Qwen3Vl => &FAMILIES[2],
        }
    }
}

/// Every family, in order of appearance.
pub static FAMILIES: [FamilyRow; 3] = [
    FamilyRow {
        family: Family::Qwen2Vl,
        architecture: "Qwen2VLForConditionalGeneration",
        model_type: "qwen2_vl",
        vision_act: "quick_gelu",
        vision_prefix: "visual.",
        text_prefix: "model.",
        frame: Frame::Thousandths,
        text: QWEN2_TEXT,
        vision: qwen2_vision,
    },
    FamilyRow {
        family: Family::Qwen2_5Vl,
        architecture: "Qwen2_5_VLForConditionalGeneration",
        model_type: "qwen2_5_vl",
        vision_act: "silu",
        vision_prefix: "visual.",
        text_prefix: "model.",
        frame: Frame::Pixels,
        text: QWEN2_TEXT,
        vision: qwen2_5_vision,
    },
    FamilyRow {
        family: Family::Qwen3Vl,
        architecture: "Qwen3VLForConditionalGeneration",
        model_type: "qwen3_vl",
        vision_act: "gelu_pytorch_tanh",
        vision_prefix: "model.visual.",
        text_prefix: "model.language_model.",
        frame: Frame::Thousandths,
        text: QWEN3_TEXT,
        vision: qwen3_vision,
    },
];

const QWEN2_TEXT: TextConfig = TextConfig {
    vocab_size: 152_064,
    hidden_size: 8192,
    intermediate_size: 29_568,
    layers: 80,
    heads: 64,
    kv_heads: 8,
    head_dim: 128,
    norm_eps: 1e-5,
    rope_theta: 1_000_000.0,
    mrope_section: [16, 24, 24],
    mrope_interleaved: false,
    tied: false,
    max_position_embeddings: 32_768,
};

const QWEN3_TEXT: TextConfig = TextConfig {
    vocab_size: 151_936,
    hidden_size: 4096,
    intermediate_size: 22_016,
    layers: 32,
    heads: 32,
    kv_heads: 32,
    head_dim: 128,
    norm_eps: 1e-6,
    rope_theta: 500_000.0,
    mrope_section: [24, 20, 20],
    mrope_interleaved: true,
    tied: false,
    max_position_embeddings: 128_000,
};

fn qwen2_vision() -> VisionConfig {
    VisionConfig {
        depth: 32,
        hidden_size: 1280,
        intermediate_size: 5120,
        heads: 16,
        channels: 3,
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        out_hidden_size: 3584,
        act: VisionAct::QuickGelu,
        rms_norm: false,
        window_size: None,
        full_attention_blocks: vec![],
        deepstack_blocks: vec![],
        position_embeddings: None,
    }
}

fn qwen2_5_vision() -> VisionConfig {
    VisionConfig {
        hidden_size: 3584,
        intermediate_size: 3420,
        act: VisionAct::SwiGlu,
        rms_norm: true,
        window_size: Some(112),
        full_attention_blocks: vec![7, 15, 23, 31],
        ..qwen2_vision()
    }
}

fn qwen3_vision() -> VisionConfig {
    VisionConfig {
        depth: 27,
        hidden_size: 1152,
        intermediate_size: 4304,
        patch_size: 16,
        act: VisionAct::GeluTanh,
        deepstack_blocks: vec![8, 16, 24],
        position_embeddings: Some(2304),
        ..qwen2_vision()
    }
}
