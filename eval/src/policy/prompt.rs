//! A user's turn with `<image>` marks as a message.

use foveate_datasets::{Piece, Result, pieces};
use foveate_vision::text::{Content, Message};

/// The turn as a conversation of one message, and the number of the picture at each of its marks.
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
