//! From messages to token ids: a [`ChatTemplate`] renders [`Message`]s, a [`Tokenizer`] encodes the text.
//!
//! Nothing here knows how many tokens a picture takes; [`crate::processor`] does.

mod clock;
mod message;
mod pyjson;
mod template;
mod tokenizer;

pub use message::{Content, Message};
pub use template::ChatTemplate;
pub use tokenizer::Tokenizer;
