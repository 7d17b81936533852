//! How the families differ where the configuration does not say: the published names of their weights.

use crate::config::Family;

/// A row of [`FAMILIES`].
#[derive(Debug)]
pub struct Entry {
    /// The family.
    pub family: Family,
    /// `architectures[0]` of `config.json`.
    pub architecture: &'static str,
    /// Prefix of the vision tower's names.
    pub(crate) vision: &'static str,
    /// Prefix of the language model's names.
    pub(crate) text: &'static str,
    /// The vision MLP's first layers, whose rows are stacked, and its last.
    pub(crate) vision_mlp: (&'static [&'static str], &'static str),
    /// The merger's norm and two layers.
    pub(crate) merger: [&'static str; 3],
    /// The patch convolution has a bias.
    pub(crate) patch_bias: bool,
    /// The text's query, key and value projections have biases.
    pub(crate) qkv_bias: bool,
    /// Queries and keys are normalised head by head.
    pub(crate) head_norms: bool,
}

/// Every family. A new one: an entry here, its reading in [`crate::config`], goldens under
/// `tests/golden/model/`.
pub const FAMILIES: &[Entry] = &[
    Entry {
        family: Family::Qwen2Vl,
        architecture: "Qwen2VLForConditionalGeneration",
        vision: "visual.",
        text: "model.",
        vision_mlp: (&["fc1"], "fc2"),
        merger: ["ln_q", "mlp.0", "mlp.2"],
        patch_bias: false,
        qkv_bias: true,
        head_norms: false,
    },
    Entry {
        family: Family::Qwen2_5Vl,
        architecture: "Qwen2_5_VLForConditionalGeneration",
        vision: "visual.",
        text: "model.",
        vision_mlp: (&["gate_proj", "up_proj"], "down_proj"),
        merger: ["ln_q", "mlp.0", "mlp.2"],
        patch_bias: false,
        qkv_bias: true,
        head_norms: false,
    },
    Entry {
        family: Family::Qwen3Vl,
        architecture: "Qwen3VLForConditionalGeneration",
        vision: "model.visual.",
        text: "model.language_model.",
        vision_mlp: (&["linear_fc1"], "linear_fc2"),
        merger: ["norm", "linear_fc1", "linear_fc2"],
        patch_bias: true,
        qkv_bias: false,
        head_norms: true,
    },
];

/// The entry of `family`.
pub(crate) fn entry(family: Family) -> &'static Entry {
    match family {
        Family::Qwen2Vl => &FAMILIES[0],
        Family::Qwen2_5Vl => &FAMILIES[1],
        Family::Qwen3Vl => &FAMILIES[2],
    }
}
