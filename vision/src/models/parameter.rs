//! A model's parameters: fused for speed in memory, one by one under their published names on disk.

use std::borrow::Cow;

use candle_core::{Device, Tensor, Var};

use super::placement::Placement;
use crate::Result;
use crate::nn::Weight;
use crate::weights::Weights;

/// A group of parameters that is trained or frozen together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The vision tower without its mergers.
    Vision,
    /// The mergers: what turns patches into tokens.
    Merger,
    /// The layers of the language model and its last norm.
    Text,
    /// The token embeddings; the head too, where it is the same matrix.
    Embeddings,
    /// The output projection, where it is a matrix of its own.
    LmHead,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 5] = [Self::Vision, Self::Merger, Self::Text, Self::Embeddings, Self::LmHead];
}

/// A variable and what is known of it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The published name; of a fused one, the first piece's.
    pub name: String,
    /// The variable, shared with the layers.
    pub weight: Weight,
    /// Its group.
    pub part: Part,
    /// Whether weight decay applies: not to norms and biases.
    pub decay: bool,
    /// Published names and shapes of the pieces, stacked along the first axis.
    pub pieces: Vec<(String, Vec<usize>)>,
    /// Whether it is an adapter's, and not one of the published model.
    pub adapter: bool,
}

impl Parameter {
    /// The variable.
    pub fn var(&self) -> &Var {
        self.weight.var()
    }

    /// Whether training changes it.
    pub fn trainable(&self) -> bool {
        self.weight.is_trainable()
    }

    /// The pieces of `data`, which is laid out like the variable (its values, its gradient, a moment).
    pub fn split<'a>(&'a self, data: &'a [f32]) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])> {
        let mut rest = data;
        self.pieces.iter().map(move |(name, shape)| {
            let (piece, after) = rest.split_at(shape.iter().product());
            rest = after;
            (name.as_str(), shape.as_slice(), piece)
        })
    }

    /// Its values, wherever they are, laid out like the variable.
    ///
    /// # Errors
    /// A device that does not give them.
    pub fn values(&self) -> Result<Vec<f32>> {
        Ok(self.weight.values()?)
    }

    /// Published name, shape and values of every piece.
    pub(crate) fn published(&self) -> Result<Vec<Published>> {
        let values = self.values()?;
        let pieces = self.split(&values);
        Ok(pieces.map(|(name, shape, piece)| (name.into(), shape.into(), Cow::Owned(piece.into()))).collect())
    }
}

/// Published name, shape and values.
pub(crate) type Published = (String, Vec<usize>, Cow<'static, [f32]>);

/// Reads weights by their published names and remembers them.
pub(crate) struct Loader<'a> {
    pub source: &'a Weights,
    pub placement: &'a Placement,
    pub parameters: Vec<Parameter>,
}

impl Loader<'_> {
    /// The pieces `names`, each `[rows, ..inner]`, stacked.
    pub(crate) fn stacked(
        &mut self,
        names: &[(String, usize)],
        inner: &[usize],
        part: Part,
    ) -> Result<Weight> {
        let (mut values, mut pieces, mut rows) = (Vec::new(), Vec::new(), 0);
        for (name, count) in names {
            let shape: Vec<usize> = std::iter::once(*count).chain(inner.iter().copied()).collect();
            values.extend(self.source.f32(name, &shape)?);
            pieces.push((name.clone(), shape));
            rows += count;
        }
        let shape: Vec<usize> = std::iter::once(rows).chain(inner.iter().copied()).collect();
        let Placement { device, dtype } = self.placement;
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(*dtype)?.to_device(device)?;
        let weight = Weight::new(Var::from_tensor(&tensor)?);
        let name = names.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let decay = !inner.is_empty();
        self.parameters.push(Parameter { name, weight: weight.clone(), part, decay, pieces, adapter: false });
        Ok(weight)
    }

    /// One published tensor.
    pub(crate) fn one(&mut self, name: impl Into<String>, shape: &[usize], part: Part) -> Result<Weight> {
        self.stacked(&[(name.into(), shape[0])], &shape[1..], part)
    }
}
