//! One flat row of tokens for the model: prompts with their images, completions that share them.
//!
//! Decides how sequences are laid in a row without padding and which hidden state predicts which token.
//! A prompt is a root segment, run once; its completions are segments that continue it. Knows no
//! weights. T is the row's tokens, N the scored ones (all completions' tokens, in order of addition).

use std::ops::Range;
use std::sync::Arc;

use crate::images::Patches;
use crate::nn::Segments;
use crate::processor::Prompt;
use crate::{Error, Result};

/// A row ready for [`crate::models::VisionLanguageModel`].
#[derive(Clone, Debug)]
pub struct Pack {
    /// Token ids, `[T]`.
    pub ids_t: Vec<u32>,
    /// Which token sees which.
    pub segments: Arc<Segments>,
    /// Roots of the row: index of the segment and the images of its prompt.
    pub(crate) roots: Vec<Root>,
    /// Rows whose hidden states predict the targets, `[N]`.
    pub predictors_n: Vec<u32>,
    /// Token ids that are scored, `[N]`.
    pub targets_n: Vec<u32>,
    /// The scored tokens of each completion, as ranges of N, in order of addition.
    pub sequences: Vec<Range<usize>>,
}

/// A prompt's segment and the images in it.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub segment: usize,
    pub images: Vec<Arc<Patches>>,
}

/// Lays prompts and completions one after another.
#[derive(Debug, Default)]
pub struct PackBuilder {
    ids_t: Vec<u32>,
    lens_and_parents: Vec<(usize, Option<usize>)>,
    ends: Vec<usize>,
    roots: Vec<Root>,
    predictors_n: Vec<u32>,
    targets_n: Vec<u32>,
    sequences: Vec<Range<usize>>,
}

impl PackBuilder {
    /// An empty row.
    pub fn new() -> Self {
        Self::default()
    }

    fn segment(&mut self, ids: &[u32], parent: Option<usize>) -> usize {
        self.ids_t.extend_from_slice(ids);
        self.lens_and_parents.push((ids.len(), parent));
        self.ends.push(self.ids_t.len());
        self.lens_and_parents.len() - 1
    }

    /// Adds a prompt; the result is what [`PackBuilder::completion`] continues.
    ///
    /// # Errors
    /// An empty prompt.
    pub fn root(&mut self, prompt: &Prompt) -> Result<usize> {
        if prompt.input_ids.is_empty() {
            return Err(Error::input("prompt", "input_ids", "at least one token", "empty"));
        }
        let segment = self.segment(&prompt.input_ids, None);
        self.roots.push(Root { segment, images: prompt.images.clone() });
        Ok(segment)
    }

    /// Adds a completion of the prompt `root`, which must be the prompt added last: a tree stands
    /// together. All its tokens are scored. The result is its index in [`Pack::sequences`].
    ///
    /// # Errors
    /// An empty completion, or a prompt that is not the last one.
    pub fn completion(&mut self, root: usize, ids: &[u32]) -> Result<usize> {
        let sequence = self.sequences.len();
        let place = format!("completion {sequence}");
        if ids.is_empty() {
            return Err(Error::input(place, "completion", "at least one token", "empty"));
        }
        let last = self.roots.last().map(|root| root.segment);
        if last != Some(root) {
            return Err(Error::input(place, "prompt", format!("{last:?}, the last one"), root));
        }
        let first = self.ids_t.len();
        // The last token predicts nothing, so it need not run; its segment stays if others are there.
        let run = &ids[..ids.len() - 1];
        self.predictors_n.push(self.ends[root] as u32 - 1);
        if !run.is_empty() {
            self.segment(run, Some(root));
            self.predictors_n.extend((first..first + run.len()).map(|row| row as u32));
        }
        let begin = self.targets_n.len();
        self.targets_n.extend_from_slice(ids);
        self.sequences.push(begin..self.targets_n.len());
        Ok(sequence)
    }

    /// Tokens so far.
    pub fn tokens(&self) -> usize {
        self.ids_t.len()
    }

    /// The row.
    ///
    /// # Errors
    /// An empty row.
    pub fn build(self) -> Result<Pack> {
        if self.ids_t.is_empty() {
            return Err(Error::input("pack", "prompts", "at least one", 0));
        }
        Ok(Pack {
            segments: Arc::new(Segments::new(&self.lens_and_parents)?),
            ids_t: self.ids_t,
            roots: self.roots,
            predictors_n: self.predictors_n,
            targets_n: self.targets_n,
            sequences: self.sequences,
        })
    }
}
