//! DAPO's soft overlong penalty: 0 up to `max - buffer` tokens, then falling in a line to -1 at `max`.

use super::{Answer, Reward};
use crate::Result;
use foveate_objectives::Entry;
use serde::Deserialize;
use serde::de::Error as _;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "length",
    paper: "DAPO, arXiv:2503.14476 eq. 13",
    build: |v| {
        let length = serde_json::from_value::<Length>(v)?;
        if length.buffer == 0 || length.buffer > length.max {
            let (buffer, max) = (length.buffer, length.max);
            let message = format!("`buffer` should be between 1 and `max` = {max}, but is {buffer}");
            return Err(serde_json::Error::custom(message));
        }
        Ok(Box::new(length))
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Length {
    max: u32,
    buffer: u32,
}

impl Reward for Length {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let over = answer.tokens as f64 - f64::from(self.max - self.buffer);
        Ok(Some(-(over / f64::from(self.buffer)).clamp(0.0, 1.0)))
    }
}
