//! Keys and values: one cache a prompt, shared by its rollouts, and a short one for each rollout's own
//! tokens.

use std::sync::Arc;

/// Keys and values of one layer, `[tokens, kv_heads * head_dim]` each, keys already rotated.
#[derive(Debug, Default)]
pub(crate) struct KeyValues {
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

impl KeyValues {
    pub(crate) fn with_capacity(numbers: usize) -> Self {
        Self { keys: Vec::with_capacity(numbers), values: Vec::with_capacity(numbers) }
    }
}

/// What a prompt leaves behind.
#[derive(Debug)]
pub(crate) struct PromptCache {
    /// One entry a layer.
    pub layers: Vec<KeyValues>,
    /// Its length.
    pub tokens: usize,
    /// M-RoPE position of the first token after the prompt.
    pub position: u32,
}

/// A rollout's place in the decoder.
#[derive(Debug)]
pub(crate) struct Row {
    pub prompt: Arc<PromptCache>,
    pub own: Vec<KeyValues>,
    /// The token to run next.
    pub next: u32,
    /// How many own tokens have run.
    pub steps: u32,
}

impl Row {
    pub(crate) fn new(prompt: &Arc<PromptCache>, max_tokens: usize) -> Self {
        // A guess at the usual length: a long limit that no rollout reaches should cost nothing.
        let tokens = max_tokens.min(64);
        let width = |layer: &KeyValues| layer.keys.len() / prompt.tokens.max(1);
        let own = prompt.layers.iter().map(|layer| KeyValues::with_capacity(tokens * width(layer)));
        Self { prompt: prompt.clone(), own: own.collect(), next: 0, steps: 0 }
    }
}
