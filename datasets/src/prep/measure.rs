//! What a model's own tokenizer and patch grid say of a sample. This crate knows neither; whoever does implements this.

use crate::{Result, Sample};

/// Counts tokens.
pub trait Measure: Sync {
    /// Tokens of the whole prompt, those of its images included.
    ///
    /// # Errors
    /// The prompt cannot be built, or an image's header not read.
    fn prompt(&self, sample: &Sample) -> Result<usize>;

    /// Tokens of an image of this width and height in pixels.
    ///
    /// # Errors
    /// The model takes no image of such a shape.
    fn image(&self, width: u32, height: u32) -> Result<usize>;
}
