//! Keys and values: one cache a prompt, shared by its rollouts, and a short one for each rollout's own
//! tokens.

use std::sync::Arc;

/// Own tokens that there is room for from the start: a long limit that no rollout reaches should cost nothing.
const USUAL: usize = 32;

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
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    /// One entry a layer.
    pub layers: Vec<KeyValues>,
    /// Its length.
    pub tokens: usize,
    /// M-RoPE position of the first token after the prompt.
    pub position: u32,
}

impl PromptCache {
    /// What a prompt and the own tokens of a row behind it leave behind together.
    pub(crate) fn of(row: &Row) -> Self {
        let layers = row.prompt.layers.iter().zip(&row.own).map(|(shared, own)| KeyValues {
            keys: [&shared.keys[..], &own.keys].concat(),
            values: [&shared.values[..], &own.values].concat(),
        });
        Self { layers: layers.collect(), tokens: row.prompt.tokens + row.steps, position: row.position }
    }
}

/// A rollout's place in the decoder.
#[derive(Debug)]
pub(crate) struct Row {
    pub prompt: Arc<PromptCache>,
    pub own: Vec<KeyValues>,
    /// The token to run next.
    pub next: u32,
    /// How many own tokens have run.
    pub steps: usize,
    /// M-RoPE position of the token to run next: images among the own tokens make it another than their
    /// number.
    pub position: u32,
}

impl Row {
    pub(crate) fn new(prompt: &Arc<PromptCache>) -> Self {
        let width = |layer: &KeyValues| layer.keys.len() / prompt.tokens.max(1);
        let own = prompt.layers.iter().map(|layer| KeyValues::with_capacity(USUAL * width(layer)));
        let (own, position) = (own.collect(), prompt.position);
        Self { prompt: prompt.clone(), own, next: 0, steps: 0, position }
    }

    /// Forgets the last `tokens` own tokens, all of them text.
    pub(crate) fn forget(&mut self, tokens: usize) {
        let tokens = tokens.min(self.steps);
        for layer in &mut self.own {
            let width = layer.keys.len() / self.steps.max(1);
            layer.keys.truncate((self.steps - tokens) * width);
            layer.values.truncate((self.steps - tokens) * width);
        }
        self.steps -= tokens;
        self.position -= tokens as u32;
    }
}
