//! Groups laid into packs that a forward pass can hold.

use crate::Result;
use crate::rollout::Group;
use candle_core::{Device, Tensor};
use foveate_datasets::Outcome;
use foveate_objectives::{Scope, Sequences};
use foveate_vision::models::TokenLogprobs;
use foveate_vision::pack::{Continuation, Pack, PackBuilder};
use foveate_vision::processor::Prompt;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// One forward pass: a pack and what is known of each of its scored tokens (`_n`).
#[derive(Debug)]
pub struct Micro {
    /// The row about clean images.
    pub pack: Pack,
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
    asked: Vec<Asked>,
}

/// A question of a micro-batch, clean and about its views, with its answers.
#[derive(Debug)]
struct Asked {
    prompt: Arc<Prompt>,
    views: Vec<(String, Arc<Prompt>)>,
    /// Its answers among the sequences of the micro-batch.
    sequences: Range<usize>,
    answers: Vec<Continuation>,
}

impl Asked {
    fn prompt(&self, view: Option<&str>) -> Option<&Arc<Prompt>> {
        let Some(view) = view else { return Some(&self.prompt) };
        self.views.iter().find(|(name, _)| name == view).map(|(_, prompt)| prompt)
    }
}

/// Which answers a view is asked about, and how many tokens of each; 0 for none.
pub type Keep = Vec<usize>;

/// A row that asks about the clean images, about views, or both: each is a further root.
#[derive(Debug)]
pub struct Row {
    /// The row.
    pub pack: Pack,
    /// Where the row scores each token of the micro-batch, by part: the clean one first, if it is there.
    places: Vec<Vec<Option<u32>>>,
}

impl Micro {
    /// The credits as a tensor.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn advantage(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.advantage_n, self.advantage_n.len(), device)?)
    }

    /// What the sampler thought of each token, as a tensor.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn sampled(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.sampled_n, self.sampled_n.len(), device)?)
    }

    /// All tokens of the answers in `scope` that have a token that counts.
    pub fn keep(&self, scope: Scope) -> Keep {
        let one = |s: usize| {
            let held = scope.holds(self.sequences.correct()[s]) && self.sequences.counted_in(s) > 0;
            if held { self.sequences.ranges()[s].len() } else { 0 }
        };
        (0..self.sequences.len()).map(one).collect()
    }

    /// Whether the images of this micro-batch have a view `name`.
    pub fn has_view(&self, name: &str) -> bool {
        self.asked.iter().all(|asked| asked.views.iter().any(|(view, _)| view == name))
    }

    /// The row that asks about the clean images (all answers) and about `views` (the kept ones); `None`
    /// where nothing is asked.
    ///
    /// # Errors
    /// Those of the pack.
    pub fn row(&self, clean: bool, views: &[(&str, &Keep)]) -> Result<Option<Row>> {
        let mut draft = RowDraft { builder: PackBuilder::new(), placed: vec![] };
        let all = self.keep_all();
        if clean {
            draft.part(self, None, &all)?;
        }
        views.iter().try_for_each(|(name, keep)| draft.part(self, Some(name), keep))?;
        draft.finish(self)
    }

    fn keep_all(&self) -> Keep {
        self.sequences.ranges().iter().map(Range::len).collect()
    }
}

/// The first `keep` scored tokens of an answer, with what stands between them.
fn first(answer: &Continuation, mut keep: usize) -> Continuation {
    let mut scored = Vec::new();
    for run in &answer.scored {
        let taken = run.len().min(keep);
        keep -= taken;
        scored.extend((taken > 0).then(|| run.start..run.start + taken));
    }
    Continuation { scored, ..answer.clone() }
}

/// A [`Row`] in the making.
struct RowDraft {
    builder: PackBuilder,
    /// By part: which sequence of the micro-batch each answer of the row is.
    placed: Vec<Vec<(usize, usize)>>,
}

impl RowDraft {
    /// Asks about the view `view`, or about the clean images.
    fn part(&mut self, micro: &Micro, view: Option<&str>, keep: &Keep) -> Result<()> {
        let mut placed = vec![];
        for asked in &micro.asked {
            let kept: Vec<usize> = asked.sequences.clone().filter(|&s| keep[s] > 0).collect();
            let Some(prompt) = asked.prompt(view).filter(|_| !kept.is_empty()) else { continue };
            let root = self.builder.root(prompt)?;
            for s in kept {
                let answer = first(&asked.answers[s - asked.sequences.start], keep[s]);
                placed.push((s, self.builder.continuation(root, answer)?));
            }
        }
        self.placed.push(placed);
        Ok(())
    }

    fn finish(self, micro: &Micro) -> Result<Option<Row>> {
        if self.placed.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let pack = self.builder.build()?;
        let part = |placed: &Vec<(usize, usize)>| {
            let mut place_n = vec![None; micro.sequences.tokens()];
            for &(s, answer) in placed {
                let tokens = micro.sequences.ranges()[s].clone().zip(pack.sequences[answer].clone());
                tokens.for_each(|(n, place)| place_n[n] = Some(place as u32));
            }
            place_n
        };
        let places = self.placed.iter().map(part).collect();
        Ok(Some(Row { pack, places }))
    }
}

impl Row {
    /// What the row's scores say of each token of the micro-batch, part by part; 0 where it was not asked.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn parts(&self, scored: &TokenLogprobs) -> Result<Vec<TokenLogprobs>> {
        let part = |place_n: &Vec<Option<u32>>| {
            Ok(TokenLogprobs {
                logp_n: spread(&scored.logp_n, place_n)?,
                entropy_n: spread(&scored.entropy_n, place_n)?,
                hidden_nd: spread(&scored.hidden_nd, place_n)?,
            })
        };
        self.places.iter().map(part).collect()
    }
}

/// Rows of `x` in the order of `place_n`, zeros where there is none.
fn spread(x: &Tensor, place_n: &[Option<u32>]) -> Result<Tensor> {
    let first = place_n.first().copied().flatten().unwrap_or_default();
    if place_n.iter().zip(first..).all(|(place, expected)| *place == Some(expected)) {
        return Ok(x.narrow(0, first as usize, place_n.len())?);
    }
    let nowhere = x.narrow(0, 0, 1)?.zeros_like()?;
    let end = x.dim(0)? as u32;
    let place_n: Vec<u32> = place_n.iter().map(|place| place.unwrap_or(end)).collect();
    let place_n = Tensor::from_slice(&place_n, place_n.len(), x.device())?;
    Ok(Tensor::cat(&[x, &nowhere], 0)?.index_select(&place_n, 0)?)
}

/// A pack in the making.
#[derive(Default)]
struct Draft {
    builder: PackBuilder,
    asked: Vec<Asked>,
    advantage_n: Vec<f32>,
    sampled_n: Vec<f32>,
    counted_n: Vec<bool>,
    correct_s: Vec<bool>,
}

impl Draft {
    fn root(&mut self, group: &Group) -> Result<usize> {
        let next = self.correct_s.len();
        self.asked.push(Asked {
            prompt: group.prompt.clone(),
            views: group.views.clone(),
            sequences: next..next,
            answers: vec![],
        });
        Ok(self.builder.root(&group.prompt)?)
    }

    /// Adds an answer to the last prompt.
    fn completion(&mut self, root: usize, answer: Continuation) -> Result<()> {
        self.builder.continuation(root, answer.clone())?;
        if let Some(asked) = self.asked.last_mut() {
            asked.sequences.end += 1;
            asked.answers.push(answer);
        }
        Ok(())
    }

    fn finish(self) -> Result<Micro> {
        let pack = self.builder.build()?;
        let sequences = Sequences::new(pack.sequences.clone(), self.counted_n, self.correct_s)?;
        Ok(Micro {
            pack,
            asked: self.asked,
            advantage_n: self.advantage_n,
            sampled_n: self.sampled_n,
            sequences,
            old_n: None,
            old_views: BTreeMap::new(),
        })
    }
}

/// Packs of at most `budget` tokens (more only where one answer with its prompt is longer; views come on
/// top). A group that does not fit is continued in the next pack, its prompt run again: the sum of
/// gradients is the same. With `mask_cut` the tokens of an answer that was cut off do not count.
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
            draft.completion(root, rollout.continuation())?;
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
