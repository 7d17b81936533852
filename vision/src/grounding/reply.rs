//! The box in a reply.
//!
//! Decides what of a text counts as one, as the authors' code does: the first block fenced as JSON, in it a
//! list of objects, of these the first with four whole numbers as `bbox_2d` and a text as `label`. Knows no
//! image: whether the box can be cut out is [`super::Rules`]'s affair.

use serde_json::{Map, Value};

use super::Refusal;

const OPEN: &str = "```json\n";
const CLOSE: &str = "\n```";

/// A box as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `[x1, y1, x2, y2]` in the family's frame.
    pub bbox: [i64; 4],
    /// What the model calls it.
    pub label: String,
    /// Bytes of the text up to the end of the block.
    pub end: usize,
}

/// The box that `text` names.
///
/// # Errors
/// Why there is none.
pub fn find(text: &str) -> Result<Found, Refusal> {
    let begin = text.find(OPEN).map(|at| at + OPEN.len()).ok_or(Refusal::NoBlock)?;
    let length = text[begin..].find(CLOSE).ok_or(Refusal::NoBlock)?;
    let value: Value = serde_json::from_str(&text[begin..begin + length]).map_err(|_| Refusal::NotJson)?;
    let items = value.as_array().filter(|items| !items.is_empty()).ok_or(Refusal::NotList)?;
    let items: Vec<_> = items.iter().map(Value::as_object).collect::<Option<_>>().ok_or(Refusal::NotList)?;
    let (bbox, label) = items.into_iter().find_map(named_box).ok_or(Refusal::NoBox)?;
    Ok(Found { bbox, label: label.into(), end: begin + length + CLOSE.len() })
}

fn named_box(item: &Map<String, Value>) -> Option<([i64; 4], &str)> {
    let corners = item.get("bbox_2d")?.as_array()?;
    let corners: Vec<i64> = corners.iter().map(whole).collect::<Option<_>>()?;
    Some((corners.try_into().ok()?, item.get("label")?.as_str()?))
}

/// Python's int: `true` is one, `1.0` is not. Numbers too large for an i64 are outside any image all the same.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(value) => Some(i64::from(*value)),
        Value::Number(number) => number.as_i64().or_else(|| number.as_u64().map(|_| i64::MAX)),
        _ => None,
    }
}
