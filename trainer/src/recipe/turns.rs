//! `[rollout.turns]`: answers of several turns. Knows neither the rules of a box nor the words of a script.

use foveate_vision::grounding::Frame;
use serde::{Deserialize, Serialize};

/// `[rollout.turns]`: the model names a box, is shown that part of the image, and answers (MGPO).
/// `rollout.max_tokens` is then the longest turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnsRecipe {
    /// The model's turns at most, the answer included.
    pub max: usize,
    /// Whether it always has all of them. If not, a reply without a box is the answer.
    pub forced: bool,
    /// What is said to it: a row of [`foveate_vision::grounding::SCRIPTS`].
    pub script: String,
    /// Which turns give a gradient.
    pub train: Trained,
    /// What coordinates count, where it is not what the model's family was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// A box is refused unless both sides are longer, in pixels as the model reads them; a token's side where
    /// nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_side: Option<f64>,
}

impl Default for TurnsRecipe {
    fn default() -> Self {
        let (script, train) = ("mgpo".into(), Trained::All);
        Self { max: 2, forced: true, script, train, frame: None, min_side: None }
    }
}

/// The turns that give a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trained {
    /// All of the model's.
    All,
    /// The answer alone: what looking is worth if it is not learnt.
    Last,
}
