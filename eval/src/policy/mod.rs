//! Who answers: a model of this process, a server elsewhere, recorded responses, or nobody who looks.
//!
//! Decides what a policy is asked and what it gives back. Knows nothing of tasks, grading or files of records.
//! To add one: a file here and its `mod` line; [`crate::sweep`] runs whatever implements [`Policy`].

mod baseline;
mod endpoint;
mod fingerprint;
mod local;
mod prompt;
mod recorded;
mod text_only;
mod turns;

pub use baseline::{Baseline, BaselineKind};
pub use endpoint::{Endpoint, EndpointOptions, Pictures};
pub use fingerprint::fingerprint;
pub use local::Local;
pub use prompt::messages;
pub(crate) use recorded::UNRECORDED;
pub use recorded::{Recorded, Said};
pub use text_only::TextOnly;
pub use turns::{Original, Turns};

use crate::{Record, Result};
use foveate_vision::text::Message;
use image::RgbImage;
use serde_json::Value;

/// Who answers.
pub trait Policy: Sync {
    /// A picture as this policy takes it; cheap to clone, as questions about one picture share it.
    type Picture: Clone + Send + Sync;

    /// [`Record::model`].
    fn name(&self) -> &str;

    /// [`Record::sampling`].
    fn sampling(&self) -> String;

    /// [`Record::pixels`]; `None` for a policy that has no limits of its own.
    fn pixels(&self) -> Option<[u64; 2]> {
        None
    }

    /// What the model will see of a picture: the picture at the size it is resized to.
    ///
    /// # Errors
    /// A picture that the model cannot take.
    fn resize(&self, picture: &RgbImage) -> Result<RgbImage> {
        Ok(picture.clone())
    }

    /// The picture as [`Policy::answer`] takes it.
    ///
    /// # Errors
    /// A picture that the model cannot take.
    fn prepare(&self, picture: &RgbImage) -> Result<Shown<Self::Picture>>;

    /// How much it takes at a time.
    fn demand(&self) -> Demand;

    /// An answer to each question, in order.
    ///
    /// # Errors
    /// The policy as a whole cannot answer; a single call that failed is an `Err` of the list.
    fn answer(&self, asked: &[Asked<Self::Picture>]) -> Result<Vec<Result<Reply, Failed>>>;
}

/// A picture with the size at which the model sees it.
#[derive(Clone, Debug)]
pub struct Shown<P> {
    /// The picture.
    pub picture: P,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// What it takes while it waits to be asked about, in pixels of 12 bytes.
    pub weight: usize,
}

impl<P> Shown<P> {
    /// A picture of which only what the model sees is kept.
    pub fn new(picture: P, size: [u32; 2]) -> Self {
        Self { picture, size, weight: size[0] as usize * size[1] as usize }
    }
}

/// A question as a policy gets it.
#[derive(Clone, Debug)]
pub struct Asked<P> {
    /// The question: prompt, order of options, seed, key. Nothing of the answer is filled in but what is right.
    pub question: Record,
    /// The question alone, without options or what is said of the form of an answer.
    pub problem: String,
    /// The texts of its options in the order shown; empty without options.
    pub choices: Vec<String>,
    /// The conversation so far; the next turn is the assistant's.
    pub messages: Vec<Message>,
    /// The pictures of its messages in reading order, corrupted already.
    pub pictures: Vec<P>,
    /// What it costs of [`Demand::budget`].
    pub cost: usize,
}

/// How much a policy takes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Calls of [`Policy::answer`] that may run at once.
    pub workers: usize,
    /// Sum of costs in one call; a question over it stands alone.
    pub budget: usize,
    /// Cost of a question besides its pictures.
    pub question: usize,
    /// Pixels, as shown, for one of cost; 0 where pictures cost nothing.
    pub pixels: usize,
}

impl Shown<()> {
    /// What a policy that does not look is shown: the size alone.
    fn unseen(picture: &RgbImage) -> Self {
        Self::new((), picture.dimensions().into())
    }
}

impl Demand {
    /// Of a policy that does not look: many questions in one call.
    const UNSEEING: Self = Self { workers: 1, budget: 256, question: 1, pixels: 0 };

    /// `workers` calls at once of one question each.
    pub const fn single(workers: usize) -> Self {
        Self { workers, budget: 1, question: 1, pixels: 0 }
    }

    /// The cost of a question about pictures of these sizes.
    pub fn cost(&self, sizes: &[[u32; 2]]) -> usize {
        let pixels: usize = sizes.iter().map(|[w, h]| *w as usize * *h as usize).sum();
        self.question + pixels.checked_div(self.pixels).unwrap_or(0)
    }
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The response, without special tokens.
    pub text: String,
    /// Why it ended.
    pub finish: Option<String>,
    /// Its tokens.
    pub tokens: Option<u32>,
    /// Further turns, for [`Record::turns`].
    pub turns: Vec<Value>,
}

/// Why there is no answer to one question.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// [`Policy::sampling`] of a policy that samples.
fn sampling(max_tokens: usize, temperature: f32) -> String {
    match temperature {
        0.0 => format!("greedy, {max_tokens} tokens"),
        _ => format!("temperature {temperature}, {max_tokens} tokens"),
    }
}
