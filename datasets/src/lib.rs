//! Samples, tasks and graders: what a model is asked, about which image, and what a reply is worth.
//!
//! Knows nothing of models, tokens, losses or corruptions. An image is shared with the rest of the workspace as
//! `image::RgbImage`; a sample holds it encoded until somebody asks for pixels ([`ImageRef::decode`]).

pub use error::{Error, Result};
pub use grade::{Grade, Outcome};
pub use image_ref::{DecodeLimits, Encoded, ImageRef};
pub use part::Part;
pub use prompt::{IMAGE_MARK, Piece, pieces};
pub use sample::Sample;
pub use task::{Chance, OpenOptions, Split, TASKS, Task, TaskEntry, image_runs, open};
pub use tasks::{DataOptions, Grader, open_data};

mod error;
pub mod formats;
pub mod grade;
mod image_ref;
pub mod load;
mod mapped;
mod part;
pub mod prep;
mod prompt;
pub mod read;
mod sample;
mod synth;
mod task;
mod tasks;
pub mod write;
