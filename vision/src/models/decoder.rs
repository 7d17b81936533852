//! The language model of all families: token rows in, hidden states out.
//!
//! T tokens of the row, d width, V vocabulary.

use std::sync::Arc;

use candle_core::Tensor;

use super::family::Naming;
use super::parameter::{Loader, Part};
use crate::Result;
use crate::config::TextConfig;
use crate::nn::{
    Act, Attention, AttentionBlock, AttentionLayer, Chain, Dims, Layer, Linear, MlpBlock, Mode, Norm, Rotary,
    Segments, Weight, add_rows,
};

#[derive(Clone, Debug)]
pub(crate) struct DecoderLayer {
    pub attention: AttentionBlock,
    pub mlp: MlpBlock,
}

/// The language model's weights.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    pub dims: Dims,
    /// `[V, d]`
    pub embedding: Weight,
    pub layers: Vec<DecoderLayer>,
    pub norm: Norm,
    /// `[V, d]`; the embedding itself when tied.
    pub head: Weight,
}

/// Features added to image tokens after the first layers, and the tokens' rows.
pub(crate) struct Deepstack<'a> {
    pub features: &'a [Tensor],
    pub places: &'a [u32],
}

impl Decoder {
    pub(crate) fn load(config: &TextConfig, family: &Naming, loader: &mut Loader) -> Result<Self> {
        let (prefix, width) = (family.text, config.hidden_size);
        let table = [config.vocab_size, width];
        let embedding = loader.one(format!("{prefix}embed_tokens.weight"), &table, Part::Embeddings)?;
        let layers = (0..config.layers).map(|index| DecoderLayer::load(index, config, family, loader));
        let layers = layers.collect::<Result<_>>()?;
        let norm = norm(loader, format!("{prefix}norm.weight"), width, config)?;
        let head = match config.tied {
            true => {
                // Refuses a file whose head is another matrix than the embedding.
                loader.source.lm_head(true, &format!("{prefix}embed_tokens.weight"), &table)?;
                embedding.clone()
            }
            false => loader.one("lm_head.weight", &table, Part::LmHead)?,
        };
        let dims = Dims { heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim };
        Ok(Self { dims, embedding, layers, norm, head })
    }

    /// Its linear layers but the head, in the order in which they run.
    pub(crate) fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        let layers = self.layers.iter_mut();
        layers.flat_map(|layer| layer.attention.linears().into_iter().chain(layer.mlp.linears()))
    }

    /// Hidden states `[T, d]` before the final norm. `trace` receives every layer's output.
    pub(crate) fn forward(
        &self,
        mut x: Tensor,
        rotary: &Rotary,
        segments: &Arc<Segments>,
        deepstack: &Deepstack,
        mode: &Mode,
        mut trace: Option<&mut Vec<Tensor>>,
    ) -> Result<Tensor> {
        let attention = Attention::new(self.dims, segments, true)?;
        let mut chain: Vec<Box<dyn Layer>> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let (attention, rotary, tap) = (attention.clone(), rotary.clone(), mode.tap.clone());
            let block = layer.attention.in_pass(mode.pass);
            chain.push(Box::new(AttentionLayer { block, attention, rotary, tap }));
            chain.push(Box::new(layer.mlp.in_pass(mode.pass)));
            let features = deepstack.features.get(index);
            if features.is_some() || trace.is_some() {
                x = Chain::new(std::mem::take(&mut chain)).apply(&x, mode)?;
            }
            if let Some(features) = features {
                x = add_rows(&x, features, deepstack.places)?;
            }
            if let Some(trace) = &mut trace {
                trace.push(x.clone());
            }
        }
        Ok(Chain::new(chain).apply(&x, mode)?)
    }

    /// The final norm, `[n, d]`.
    pub(crate) fn finish(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        Ok(Chain::new(vec![Box::new(self.norm.clone())]).apply(x, mode)?)
    }
}

fn norm(loader: &mut Loader, name: String, width: usize, config: &TextConfig) -> Result<Norm> {
    Ok(Norm { weight: loader.one(name, &[width], Part::Text)?, bias: None, eps: config.norm_eps })
}

impl DecoderLayer {
    fn load(index: usize, config: &TextConfig, family: &Naming, loader: &mut Loader) -> Result<Self> {
        let named = |name: &str| format!("{}layers.{index}.{name}", family.text);
        let (width, inner, part) = (config.hidden_size, config.intermediate_size, Part::Text);
        let (q_width, kv_width) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let rows = [("q", q_width), ("k", kv_width), ("v", kv_width)];
        let qkv_named =
            |suffix: &str| rows.map(|(name, rows)| (named(&format!("self_attn.{name}_proj.{suffix}")), rows));
        let attention_norm = norm(loader, named("input_layernorm.weight"), width, config)?;
        let weight = loader.stacked(&qkv_named("weight"), &[width], part)?;
        let bias = match family.qkv_bias {
            true => Some(loader.stacked(&qkv_named("bias"), &[], part)?),
            false => None,
        };
        let qkv = Linear::new(weight, bias);
        let head_norms = match family.head_norms {
            true => Some((
                norm(loader, named("self_attn.q_norm.weight"), config.head_dim, config)?,
                norm(loader, named("self_attn.k_norm.weight"), config.head_dim, config)?,
            )),
            false => None,
        };
        let plain = |weight| Linear::new(weight, None);
        let out = plain(loader.one(named("self_attn.o_proj.weight"), &[width, q_width], part)?);
        let mlp_norm = norm(loader, named("post_attention_layernorm.weight"), width, config)?;
        let gate_up = ["gate", "up"].map(|name| (named(&format!("mlp.{name}_proj.weight")), inner));
        let up = plain(loader.stacked(&gate_up, &[width], part)?);
        let down = plain(loader.one(named("mlp.down_proj.weight"), &[width, inner], part)?);
        Ok(Self {
            attention: AttentionBlock { norm: attention_norm, qkv, head_norms, out },
            mlp: MlpBlock { norm: mlp_norm, up, act: Act::SwiGlu, down, residual: true },
        })
    }
}
