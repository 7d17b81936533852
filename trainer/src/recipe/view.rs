//! `[[view]]`: corrupted views for terms to read. Knows neither corruptions nor terms.

use serde::{Deserialize, Serialize};

/// One `[[view]]`: the training image of each prompt, corrupted anew each step, the same for all answers
/// of its group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewRecipe {
    /// What terms call it; not `picked`, which stands for one view drawn each step.
    pub name: String,
    /// Corruptions or named lists of them; one is drawn for each image. Views with the same list draw
    /// different ones, as far as it reaches.
    pub corruptions: Vec<String>,
    /// Severities, 1 to 5; one is drawn for each image.
    #[serde(default = "middle")]
    pub severities: Vec<u8>,
}

/// The severity where nothing is said.
pub(super) fn middle() -> Vec<u8> {
    vec![3]
}
