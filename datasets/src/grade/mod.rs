//! From the text of a reply to a grade. Pure text: no image, no model. Training rewards and evaluation call the same
//! functions, so a reward and a score cannot differ.
//!
//! Every grader looks only at the reply's answer [`zone`], never at the reasoning before it, and is total: it ends for
//! any text, and an empty or unfinished reply is `unparsed`.

pub mod choice;
pub mod exact;
pub mod format;
pub mod math;
pub mod number;
pub mod quality;
mod zone;

pub use zone::{boxed, zone};

/// How a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The answer was found and is right.
    Right,
    /// The answer was found and is wrong.
    Wrong,
    /// No answer was found.
    Unparsed,
}

/// What a reply is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Grade {
    /// 1 for right and 0 otherwise, or a grader's own scale within 0..=1.
    pub score: f32,
    /// The verdict.
    pub outcome: Outcome,
    /// The answer as it was understood.
    pub parsed: Option<String>,
}

impl Grade {
    /// The grade of an answer that was found.
    pub fn of(right: bool, parsed: impl Into<String>) -> Self {
        let (score, outcome) = if right { (1., Outcome::Right) } else { (0., Outcome::Wrong) };
        Self { score, outcome, parsed: Some(parsed.into()) }
    }

    /// The grade of a reply without an answer.
    pub fn unparsed() -> Self {
        Self { score: 0., outcome: Outcome::Unparsed, parsed: None }
    }
}
