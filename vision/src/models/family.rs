//! How the families' weights differ where the configuration does not say: names, biases, head norms.
//!
//! Which families there are, and the prefixes of their names, stands in [`crate::config::FAMILIES`].

use crate::config::Family;

/// What a family calls its weights and which of them it has.
pub(crate) struct Naming {
    /// Prefix of the vision tower's names.
    pub vision: &'static str,
    /// Prefix of the language model's names.
    pub text: &'static str,
    /// The vision MLP's first layers, whose rows are stacked, and its last.
    pub vision_mlp: (&'static [&'static str], &'static str),
    /// The merger's norm and two layers.
    pub merger: [&'static str; 3],
    /// The patch convolution has a bias.
    pub patch_bias: bool,
    /// The text's query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Queries and keys are normalised head by head.
    pub head_norms: bool,
}

/// The naming of `family`.
pub(crate) fn naming(family: Family) -> Naming {
    let (row, qwen3) = (family.row(), family == Family::Qwen3Vl);
    Naming {
        vision: row.vision_prefix,
        text: row.text_prefix,
        vision_mlp: match family {
            Family::Qwen2Vl => (&["fc1"], "fc2"),
            Family::Qwen2_5Vl => (&["gate_proj", "up_proj"], "down_proj"),
            Family::Qwen3Vl => (&["linear_fc1"], "linear_fc2"),
        },
        merger: match qwen3 {
            true => ["norm", "linear_fc1", "linear_fc2"],
            false => ["ln_q", "mlp.0", "mlp.2"],
        },
        patch_bias: qwen3,
        qkv_bias: !qwen3,
        head_norms: qwen3,
    }
}
