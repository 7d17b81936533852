//! A user's turn with `<image>` marks as the message and the prompt of a Qwen-VL model.

use crate::{Error, Result};
use foveate_datasets::{Piece, pieces};
use foveate_vision::images::Patches;
use foveate_vision::processor::{Processor, Prompt};
use foveate_vision::text::{Content, Message};
use std::sync::Arc;

/// The turn as a message, and the number of the picture at each of its marks.
///
/// # Errors
/// Marks that do not fit the number of pictures.
pub fn messages(text: &str, pictures: usize) -> Result<(Vec<Message>, Vec<usize>)> {
    let (mut content, mut order) = (Vec::new(), Vec::new());
    for piece in pieces(text, pictures)? {
        content.push(match piece {
            Piece::Image(at) => {
                order.push(at);
                Content::Image(None)
            }
            Piece::Text(text) => Content::Text(text),
        });
    }
    Ok((vec![Message { role: "user".into(), content }], order))
}

/// The prompt of a turn about pictures at hand.
///
/// # Errors
/// As [`messages`], and those of the chat template.
pub fn prompt_about(processor: &Processor, text: &str, patches: &[Arc<Patches>]) -> Result<Prompt> {
    let (messages, order) = messages(text, patches.len())?;
    let pictures: Vec<_> = order.iter().filter_map(|&at| patches.get(at).cloned()).collect();
    processor.prompt(&messages, &pictures).map_err(Error::from)
}
