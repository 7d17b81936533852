//! A turn as it is written down, in `completions.jsonl` and in records of evaluations alike.

use serde_json::{Value, json};

use super::{Refusal, Region};

/// The reply as far as it was kept; its `box` as said, its `crop` in pixels of the original (`[x1, y1, x2, y2]`, the
/// second corner not included) and the crop's share of the image's `area`; or why it was `refused`.
pub fn note(reply: &str, region: &Result<Region, Refusal>) -> Value {
    match region {
        Ok(Region { said, original, area }) => {
            json!({"reply": reply, "box": said, "crop": original, "area": area})
        }
        Err(refusal) => json!({"reply": reply, "refused": refusal}),
    }
}
