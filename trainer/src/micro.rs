//! Groups laid into packs that a forward pass can hold.

use crate::Result;
use crate::rollout::Group;
use candle_core::{Device, Tensor};
use foveate_datasets::Outcome;
use foveate_objectives::Sequences;
use foveate_vision::pack::{Continuation, Pack, PackBuilder};
use std::collections::BTreeMap;

/// One forward pass: a pack and what is known of each of its scored tokens (`_n`).
#[derive(Debug)]
pub struct Micro {
    /// The row.
    pub pack: Pack,
    /// The same row about corrupted views, by name.
    pub views: Vec<(String, Pack)>,
    /// Credit of each token.
    pub advantage_n: Vec<f32>,
    /// What the sampler thought of each token; NaN where it was not sampled.
    pub sampled_n: Vec<f32>,
    /// Boundaries and correctness.
    pub sequences: Sequences,
    /// Under the weights that sampled, if they are not the current ones.
    pub old_n: Option<Tensor>,
    /// The same for views, by name.
    pub old_views: BTreeMap<String, Tensor>,
}

impl Micro {
    /// The credits as a tensor.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn advantage(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.advantage_n, self.advantage_n.len(), device)?)
    }
}

/// A pack in the making, with the packs of its views.
#[derive(Default)]
struct Draft {
    builder: PackBuilder,
    views: Vec<(String, PackBuilder)>,
    advantage_n: Vec<f32>,
    sampled_n: Vec<f32>,
    counted_n: Vec<bool>,
    correct_s: Vec<bool>,
}

impl Draft {
    /// Adds a prompt, to every view its own.
    fn root(&mut self, group: &Group) -> Result<usize> {
        for (name, prompt) in &group.views {
            if !self.views.iter().any(|(view, _)| view == name) {
                self.views.push((name.clone(), PackBuilder::new()));
            }
            for (_, builder) in self.views.iter_mut().filter(|(view, _)| view == name) {
                builder.root(prompt)?;
            }
        }
        Ok(self.builder.root(&group.prompt)?)
    }

    /// Adds an answer to the last prompt; segments have the same numbers in every view.
    fn completion(&mut self, root: usize, answer: &Continuation) -> Result<()> {
        self.builder.continuation(root, answer.clone())?;
        for (_, builder) in &mut self.views {
            builder.continuation(root, answer.clone())?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Micro> {
        let pack = self.builder.build()?;
        let sequences = Sequences::new(pack.sequences.clone(), self.counted_n, self.correct_s)?;
        let view = |(name, builder): (String, PackBuilder)| Ok((name, builder.build()?));
        Ok(Micro {
            pack,
            views: self.views.into_iter().map(view).collect::<Result<_>>()?,
            advantage_n: self.advantage_n,
            sampled_n: self.sampled_n,
            sequences,
            old_n: None,
            old_views: BTreeMap::new(),
        })
    }
}

/// Packs of at most `budget` tokens (more only where one answer with its prompt is longer). A group that
/// does not fit is continued in the next pack, its prompt run again: the sum of gradients is the same.
/// With `mask_cut` the tokens of an answer that was cut off do not count.
///
/// # Errors
/// Those of the pack.
pub fn pack(groups: &[(&Group, &[f64])], budget: usize, mask_cut: bool) -> Result<Vec<Micro>> {
    let mut done = Vec::new();
    let mut draft = Draft::default();
    for (group, advantages) in groups {
        let mut root = None;
        for (rollout, &advantage) in group.rollouts.iter().zip(*advantages) {
            let prompt = if root.is_none() { group.prompt.input_ids.len() } else { 0 };
            let tokens = draft.builder.tokens();
            if tokens > 0 && tokens + prompt + rollout.tokens() > budget {
                done.push(std::mem::take(&mut draft).finish()?);
                root = None;
            }
            let root = match root {
                Some(root) => root,
                None => *root.insert(draft.root(group)?),
            };
            draft.completion(root, &rollout.continuation())?;
            let n = rollout.ids.len();
            draft.advantage_n.extend(std::iter::repeat_n(advantage as f32, n));
            match rollout.logp_tempered.len() == n {
                true => draft.sampled_n.extend(&rollout.logp_tempered),
                false => draft.sampled_n.extend(std::iter::repeat_n(f32::NAN, n)),
            }
            let whole = rollout.finished || !mask_cut;
            draft.counted_n.extend((0..n).map(|at| whole && at >= rollout.untrained));
            draft.correct_s.push(rollout.grade.outcome == Outcome::Right);
        }
    }
    if draft.builder.tokens() > 0 {
        done.push(draft.finish()?);
    }
    Ok(done)
}
