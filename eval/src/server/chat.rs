//! A conversation as OpenAI's chat completions take it, and what of a reply is compared.

use crate::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foveate_vision::text::{Content, Message};
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use serde_json::{Value, json};
use std::sync::Arc;

/// A picture as a URL that holds it. PNG: nothing is lost on the way.
///
/// # Errors
/// A picture without pixels.
pub fn data_url(picture: &RgbImage) -> Result<Arc<str>> {
    let mut png = Vec::new();
    // Most of the time is the filter's and the compressor's; pictures go to a server nearby.
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub);
    picture.write_with_encoder(encoder).map_err(|e| Error::Work(format!("encoding a picture: {e}")))?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(&png)).into())
}

/// `messages` as a request has them; `pictures` are the URLs of their pictures in reading order.
pub fn conversation<'a>(messages: &[Message], pictures: impl Iterator<Item = &'a str>) -> Value {
    let mut pictures = pictures;
    let mut piece = |content: &Content| match content {
        Content::Text(text) => json!({"type": "text", "text": text}),
        Content::Image(_) => {
            json!({"type": "image_url", "image_url": {"url": pictures.next().unwrap_or_default()}})
        }
    };
    let mut turn = |turn: &Message| {
        let content: Vec<Value> = turn.content.iter().map(&mut piece).collect();
        json!({"role": turn.role, "content": content})
    };
    messages.iter().map(&mut turn).collect()
}

/// The ids of the prompt as a reply returns them: of the whole (vLLM) or of each choice (SGLang).
pub fn prompt_ids(reply: &Value) -> Option<&[Value]> {
    let choice = reply.get("choices").and_then(|choices| choices.get(0));
    let ids =
        [Some(reply), choice].into_iter().flatten().find_map(|part| part.get("prompt_token_ids")?.as_array());
    ids.map(Vec::as_slice)
}

/// Checks that the ids that a server returned of a prompt are ours; else it sees another question than we ask.
///
/// # Errors
/// [`Error::Differs`] with both lengths and the first ids that differ.
pub fn same_ids(place: impl ToString, ours: &[u32], theirs: &[Value]) -> Result<()> {
    let at = ours.iter().zip(theirs).position(|(a, b)| b.as_u64() != Some(u64::from(*a)));
    if at.is_none() && ours.len() == theirs.len() {
        return Ok(());
    }
    let at = at.unwrap_or(ours.len().min(theirs.len()));
    let say = |n: usize, id: Option<String>| {
        format!("{n} ids with {} at {at}", id.unwrap_or_else(|| "none".into()))
    };
    let expected = say(ours.len(), ours.get(at).map(ToString::to_string));
    let found = say(theirs.len(), theirs.get(at).map(ToString::to_string));
    Err(Error::differs(place, "prompt_token_ids", expected, found))
}
