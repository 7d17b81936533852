//! The words that say which rows are wanted.

use std::path::PathBuf;

use foveate_datasets::prep::Filter;

use super::tokens::PromptTokens;
use crate::failure::{Failure, Outcome};
use crate::hub::Stop;

/// What to keep; a row outside is a reject with its reason.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Least width times height of an image
    #[arg(long, value_name = "N")]
    min_pixels: Option<u64>,
    /// Greatest width times height of an image
    #[arg(long, value_name = "N")]
    max_pixels: Option<u64>,
    /// Greatest ratio of an image's longer to its shorter side
    #[arg(long, value_name = "RATIO")]
    max_aspect: Option<f64>,
    /// Most images of a row
    #[arg(long, value_name = "N")]
    max_images: Option<usize>,
    /// Only rows with an image
    #[arg(long)]
    needs_image: bool,
    /// Most characters of question and answer together
    #[arg(long, value_name = "N")]
    max_chars: Option<usize>,
    /// Most tokens of a prompt, its images' included, counted by the tokenizer and the grid of --model
    #[arg(long, value_name = "N", requires = "model")]
    max_tokens: Option<usize>,
    /// Languages of the question, as in en,zh; what is too short to tell is kept
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    language: Vec<String>,
    /// Only the first of rows with the same question about the same image bytes
    #[arg(long)]
    drop_duplicates: bool,
    /// The model that counts tokens: a directory, or a name on the hub
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
}

impl FilterArgs {
    /// As the data crate says it.
    pub fn filter(&self) -> Outcome<Filter> {
        if let Some(ratio) = self.max_aspect.filter(|ratio| ratio.is_nan() || *ratio < 1.0) {
            return Err(Failure::differs("command line", "--max-aspect", "at least 1", ratio));
        }
        Ok(Filter {
            min_pixels: self.min_pixels,
            max_pixels: self.max_pixels,
            max_aspect: self.max_aspect,
            max_images: self.max_images,
            needs_image: self.needs_image,
            max_chars: self.max_chars,
            max_tokens: self.max_tokens,
            languages: self.language.clone(),
            drop_duplicates: self.drop_duplicates,
        })
    }

    /// The tokenizer and grid of --model.
    pub fn tokens(&self, stop: Stop) -> Outcome<Option<PromptTokens>> {
        self.model.as_deref().map(|model| PromptTokens::of(model, stop)).transpose()
    }
}
