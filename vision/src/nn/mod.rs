//! Differentiable layers of our own, since candle's fused ones have no backward pass and its plain ones
//! are slow to train.
//!
//! Each layer is arithmetic on slices with its own backward pass (the fast path: f32 on the CPU) beside a
//! plain composition of candle operations (the readable truth, which runs on every device); tests hold
//! the two together. Nothing here knows a model: shapes and weights come from [`crate::models`].
//!
//! Names end in their shape: `q_thd` is `[tokens, heads, head_dim]`, `w_oi` is `[out, in]`.

mod anywhere;
mod attention;
mod attention_block;
mod attention_kernel;
mod attention_pieces;
mod buffers;
mod divergence;
mod host;
mod layer;
mod linear;
mod logprobs;
mod lora;
mod matmul;
mod mlp;
mod norm;
mod query_blocks;
mod rope;
mod rows;
mod segments;
pub(crate) mod simd;
mod sink;
pub(crate) mod skinny;

mod patch_embed;

pub(crate) use attention::{Attention, attend_behind};
pub(crate) use attention_block::{AttentionBlock, AttentionLayer, KvTap};
pub(crate) use buffers::Buffer;
pub(crate) use divergence::{Side, token_divergences};
pub(crate) use layer::{Chain, Layer};
pub(crate) use linear::Linear;
pub(crate) use logprobs::token_logprobs;
pub(crate) use lora::{Dropout, Lora};
pub(crate) use mlp::{Act, MlpBlock};
pub(crate) use norm::Norm;
pub(crate) use patch_embed::{PatchEmbed, PositionTaps};
pub(crate) use query_blocks::Dims;
pub(crate) use rope::{Rotary, inverse_frequencies};
pub(crate) use rows::{add_rows, embed};

pub use layer::{Mode, backward};
pub use segments::{Segment, Segments};
pub use sink::{GradSink, Gradient, Weight};
