//! A Qwen-VL vision encoder and language model over packed rows.
//!
//! Images become patches ([`images`]), messages become tokens ([`text`]), both become a
//! [`processor::Prompt`]; prompts and completions are laid in one [`pack::Pack`] that a
//! [`models::VisionLanguageModel`] scores or continues ([`generate`]). Conversations in which the model asks to
//! look closer follow [`grounding`]. This crate knows nothing of
//! rewards, losses, datasets or corruptions.

pub mod config;
mod error;
pub mod generate;
pub mod grounding;
pub mod images;
pub mod lora;
pub mod models;
pub mod nn;
pub mod pack;
pub mod processor;
pub mod text;
pub mod tiny;
pub mod weights;

pub use error::{Error, Result};
