//! Conversations with given turns, for the supervised stage: a box around what the question is about, then the
//! answer.

use super::sampled::user_turn;
use super::{Episode, Heard, Opened, Turns, hull};
use crate::policy::LocalPolicy;
use crate::{Error, Result};
use foveate_datasets::Sample;
use foveate_vision::grounding::{Next, Sizes};
use foveate_vision::processor::Prompt;
use serde_json::json;
use std::sync::Arc;

impl Episode {
    /// The right answer in one turn.
    ///
    /// # Errors
    /// An answer without a token.
    pub fn given(policy: &LocalPolicy, sample: &Sample) -> Result<Self> {
        let mut ids = policy.processor.tokenizer.encode(&sample.answer)?;
        if ids.is_empty() {
            let message =
                format!("{}: `answer` should have at least one token, but is empty", sample.place());
            return Err(Error::Recipe { place: "data".into(), message });
        }
        ids.extend(policy.generation.eos_token_ids.first());
        Ok(Self { ids, text: sample.answer.clone(), finished: true, ..Self::default() })
    }
}

impl Turns {
    /// The conversation in which the model looks at what the sample's metadata names, and answers right.
    ///
    /// # Errors
    /// A sample without targets, an image too small for a box, an answer without a token.
    pub fn given(&self, policy: &LocalPolicy, opened: &Opened<'_>) -> Result<Episode> {
        let sample = &opened.sample;
        let fault = |what: &str| Error::Recipe {
            place: "data".into(),
            message: format!("{}: `meta.targets` should name {what}", sample.place()),
        };
        let target = hull(sample).ok_or_else(|| fault("where to look, but names no box"))?;
        let mut dialogue = opened.dialogue.clone();
        let text = self.reply(target, dialogue.sizes());
        let mut episode = Episode::given(policy, sample)?;
        let answer = std::mem::take(&mut episode.ids);
        for _ in 1..self.protocol.turns {
            let Next::Turn(turn) = dialogue.reply(&text) else { break };
            if let Err(refusal) = turn.region {
                let what = format!("a box that can be shown, but it is refused: {}", refusal.name());
                return Err(fault(&what));
            }
            episode.ids.extend(policy.processor.tokenizer.encode(&text)?);
            let Prompt { input_ids, images } = user_turn(policy, &dialogue, &turn, opened.original())?;
            episode.ids.push(input_ids[0]);
            let prompt = Arc::new(Prompt { input_ids: input_ids[1..].to_vec(), images });
            let after = episode.ids.len();
            episode.heard.push(Heard { after, prompt, reply: text.clone(), region: turn.region });
        }
        episode.ids.extend(answer);
        Ok(episode)
    }

    /// A reply that names the smallest box of whole tokens around `target` that the rules allow.
    fn reply(&self, target: [f64; 4], sizes: Sizes) -> String {
        let [x1, y1, x2, y2] = target;
        let (original, read) = (sizes.original, sizes.read);
        let x = self.tokens((x1, x2), f64::from(original.0), f64::from(read.0));
        let y = self.tokens((y1, y2), f64::from(original.1), f64::from(read.1));
        let (scale_x, scale_y) =
            (f64::from(original.0) / f64::from(read.0), f64::from(original.1) / f64::from(read.1));
        let bounds = [x.0 * scale_x, y.0 * scale_y, x.1 * scale_x, y.1 * scale_y];
        let item = json!([{"bbox_2d": self.protocol.frame.around(bounds, sizes), "label": "box"}]);
        format!("```json\n{item}\n```")
    }

    /// One axis: from pixels of the original to the borders of whole tokens, in pixels as the model reads them.
    fn tokens(&self, (low, high): (f64, f64), original: f64, read: f64) -> (f64, f64) {
        let images = &self.protocol.images;
        let side = (images.patch_size * images.merge_size) as f64;
        let (low, high) = (low / original * read / side, high / original * read / side);
        let least = (self.protocol.rules.min_side / side).floor() + 1.0;
        let low = low.floor().min(read / side - least).max(0.0);
        let high = high.ceil().max(low + least);
        (low * side, (high * side).min(read))
    }
}
