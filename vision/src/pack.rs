//! One flat row of tokens for the model: prompts with their images, completions that share them.
//!
//! Decides how sequences are laid in a row without padding and which hidden state predicts which token.
//! A prompt is a root segment, run once; its completions are segments that continue it. A completion may be
//! a whole rest of a conversation, with further images and with turns that are read but not scored. Prompts
//! about the same images share their common beginning. Knows no weights. T is the row's tokens, N the scored
//! ones (of all completions, in order of addition).

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
    /// Roots of the row.
    pub(crate) roots: Vec<Root>,
    /// Completions with images of their own, and these, in order of segments.
    pub(crate) continued: Vec<(usize, Vec<Arc<Patches>>)>,
    /// Rows whose hidden states predict the targets, `[N]`.
    pub predictors_n: Vec<u32>,
    /// Token ids that are scored, `[N]`.
    pub targets_n: Vec<u32>,
    /// The scored tokens of each completion, as ranges of N, in order of addition.
    pub sequences: Vec<Range<usize>>,
}

/// A segment without a parent, those that continue it as other prompts' ends, and their images.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub segment: usize,
    /// Segments that hold the rest of each prompt, where prompts share a beginning.
    pub rests: Vec<usize>,
    /// Every prompt's images: prompts that share a beginning are about the same ones.
    pub images: Vec<Arc<Patches>>,
}

/// What continues a prompt: an answer, or the rest of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Continuation {
    /// Token ids, an image's placeholder once for each of its tokens.
    pub ids: Vec<u32>,
    /// Runs of `ids` that are scored, in order and apart; what stands between them is read only.
    pub scored: Vec<Range<usize>>,
    /// The images whose tokens are among `ids`, in order.
    pub images: Vec<Arc<Patches>>,
}

impl Continuation {
    /// An answer, all of whose tokens are scored.
    pub fn answer(ids: &[u32]) -> Self {
        Self { ids: ids.to_vec(), scored: std::iter::once(0..ids.len()).collect(), images: vec![] }
    }

    /// How many of its tokens run: those before the last scored one, which predicts nothing.
    fn run(&self) -> usize {
        self.scored.last().map_or(0, |last| last.end - 1)
    }

    fn check(&self, place: &str) -> Result<()> {
        let (mut end, total) = (0, self.ids.len());
        for scored in &self.scored {
            if scored.is_empty() || scored.start < end || scored.end > total {
                let expected = format!("runs of at least one token, in order, within {end}..{total}");
                return Err(Error::input(place, "scored", expected, format!("{scored:?}")));
            }
            end = scored.end;
        }
        match end {
            0 => Err(Error::input(place, "completion", "at least one token", "empty")),
            _ => Ok(()),
        }
    }
}

/// Lays prompts and completions one after another.
#[derive(Debug, Default)]
pub struct PackBuilder {
    prompts: Vec<Asked>,
    /// The prompt and tokens of each completion, in order of addition.
    completions: Vec<(usize, Continuation)>,
    tokens: usize,
}

#[derive(Debug)]
struct Asked {
    ids: Vec<u32>,
    images: Vec<Arc<Patches>>,
}

impl Asked {
    fn same_images(&self, other: &Self) -> bool {
        let mut pairs = self.images.iter().zip(&other.images);
        !self.images.is_empty()
            && self.images.len() == other.images.len()
            && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

impl PackBuilder {
    /// An empty row.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a prompt; the result is what [`PackBuilder::completion`] continues. Neighbours about the same
    /// images (the same [`Arc`]s) share the beginning they have in common: several questions about one
    /// image cost its tokens once.
    ///
    /// # Errors
    /// An empty prompt.
    pub fn root(&mut self, prompt: &Prompt) -> Result<usize> {
        if prompt.input_ids.is_empty() {
            return Err(Error::input("prompt", "input_ids", "at least one token", "empty"));
        }
        self.tokens += prompt.input_ids.len();
        self.prompts.push(Asked { ids: prompt.input_ids.clone(), images: prompt.images.clone() });
        Ok(self.prompts.len() - 1)
    }

    /// Adds a completion of the prompt `root`. All its tokens are scored. The result is its index in
    /// [`Pack::sequences`].
    ///
    /// # Errors
    /// An empty completion, or a prompt that was not added.
    pub fn completion(&mut self, root: usize, ids: &[u32]) -> Result<usize> {
        self.continuation(root, Continuation::answer(ids))
    }

    /// Adds what continues the prompt `root`; tokens after the last scored one do not run. The result is its
    /// index in [`Pack::sequences`].
    ///
    /// # Errors
    /// Nothing that is scored, runs that overlap or do not lie in it, or a prompt that was not added.
    pub fn continuation(&mut self, root: usize, continuation: Continuation) -> Result<usize> {
        let sequence = self.completions.len();
        let place = format!("completion {sequence}");
        continuation.check(&place)?;
        if root >= self.prompts.len() {
            return Err(Error::input(place, "prompt", format!("below {}", self.prompts.len()), root));
        }
        self.tokens += continuation.run();
        self.completions.push((root, continuation));
        Ok(sequence)
    }

    /// Tokens so far, not counting what shared beginnings will save.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The row.
    ///
    /// # Errors
    /// An empty row.
    pub fn build(self) -> Result<Pack> {
        if self.prompts.is_empty() {
            return Err(Error::input("pack", "prompts", "at least one", 0));
        }
        let mut row = Row { sequences: vec![vec![]; self.completions.len()], ..Row::default() };
        let mut of_prompt = vec![Vec::new(); self.prompts.len()];
        for (sequence, (prompt, _)) in self.completions.iter().enumerate() {
            of_prompt[*prompt].push(sequence);
        }
        let mut first = 0;
        for run in self.prompts.chunk_by(Asked::same_images) {
            let shared = common_beginning(run);
            let root = row.segment(&run[0].ids[..shared], None);
            let mut rests = Vec::new();
            for (index, asked) in (first..).zip(run) {
                let rest = &asked.ids[shared..];
                let parent = if rest.is_empty() { root } else { row.segment(rest, Some(root)) };
                rests.extend((parent != root).then_some(parent));
                for &sequence in &of_prompt[index] {
                    row.completion(parent, sequence, &self.completions[sequence].1);
                }
            }
            row.roots.push(Root { segment: root, rests, images: run[0].images.clone() });
            first += run.len();
        }
        row.finish()
    }
}

/// How many leading tokens all prompts of a run have in common.
fn common_beginning(run: &[Asked]) -> usize {
    let first = &run[0].ids;
    let common = |other: &Asked| first.iter().zip(&other.ids).take_while(|(a, b)| a == b).count();
    run[1..].iter().map(common).min().unwrap_or(first.len())
}

/// A row while it is laid.
#[derive(Default)]
struct Row {
    ids_t: Vec<u32>,
    lens_and_parents: Vec<(usize, Option<usize>)>,
    ends: Vec<usize>,
    roots: Vec<Root>,
    continued: Vec<(usize, Vec<Arc<Patches>>)>,
    /// Predictors and targets of each completion.
    sequences: Vec<Vec<(u32, u32)>>,
}

impl Row {
    fn segment(&mut self, ids: &[u32], parent: Option<usize>) -> usize {
        self.ids_t.extend_from_slice(ids);
        self.lens_and_parents.push((ids.len(), parent));
        self.ends.push(self.ids_t.len());
        self.lens_and_parents.len() - 1
    }

    fn completion(&mut self, parent: usize, sequence: usize, continuation: &Continuation) {
        let (first, run) = (self.ids_t.len(), &continuation.ids[..continuation.run()]);
        if !run.is_empty() {
            let segment = self.segment(run, Some(parent));
            if !continuation.images.is_empty() {
                self.continued.push((segment, continuation.images.clone()));
            }
        }
        let before = self.ends[parent] - 1;
        let predictor = |at: usize| if at == 0 { before } else { first + at - 1 };
        let pair = |at: usize| (predictor(at) as u32, continuation.ids[at]);
        self.sequences[sequence] = continuation.scored.iter().cloned().flatten().map(pair).collect();
    }

    fn finish(self) -> Result<Pack> {
        let (mut predictors_n, mut targets_n, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
        for pairs in &self.sequences {
            let begin = targets_n.len();
            predictors_n.extend(pairs.iter().map(|(predictor, _)| predictor));
            targets_n.extend(pairs.iter().map(|(_, target)| target));
            sequences.push(begin..targets_n.len());
        }
        Ok(Pack {
            segments: Arc::new(Segments::new(&self.lens_and_parents)?),
            ids_t: self.ids_t,
            roots: self.roots,
            continued: self.continued,
            predictors_n,
            targets_n,
            sequences,
        })
    }
}
