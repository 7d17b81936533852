//! Tokens of prompts and images as a model counts them, from image sizes alone: no picture is cut.

use std::path::Path;

use foveate_datasets::prep::Measure;
use foveate_datasets::{Error, Piece, Result, Sample, pieces};
use foveate_vision::processor::Processor;
use foveate_vision::text::{Content, Message};

use crate::failure::Outcome;
use crate::hub::{self, Need, Stop};

/// The tokenizer, chat template and image settings of one model directory.
pub struct PromptTokens(Processor);

impl PromptTokens {
    /// Reads them.
    pub fn of(model: &Path, stop: Stop) -> Outcome<Self> {
        Ok(Self(Processor::from_dir(&hub::model(model, Need::Processor, stop)?.path)?))
    }
}

impl Measure for PromptTokens {
    /// As [`Processor::prompt`] would have them: each image's placeholder repeated once for each of its tokens.
    fn prompt(&self, sample: &Sample) -> Result<usize> {
        let mut images = 0;
        for image in &sample.images {
            let (width, height) = image.dimensions()?;
            images += self.image(width, height)?;
        }
        let content = pieces(&sample.prompt(), sample.images.len())?.into_iter().map(|piece| match piece {
            Piece::Image(_) => Content::Image(None),
            Piece::Text(text) => Content::Text(text),
        });
        let message = Message { role: "user".into(), content: content.collect() };
        let text = self.0.template.render(&[message], true).map_err(told)?;
        Ok(self.0.tokenizer.encode(&text).map_err(told)?.len() - sample.images.len() + images)
    }

    fn image(&self, width: u32, height: u32) -> Result<usize> {
        let images = &self.0.images;
        let (height, width) = images.smart_resize(height as usize, width as usize).map_err(told)?;
        let block = images.patch_size * images.merge_size;
        Ok(height / block * (width / block))
    }
}

fn told(error: foveate_vision::Error) -> Error {
    Error::Invalid(error.to_string())
}
