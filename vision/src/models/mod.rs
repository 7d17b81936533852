//! Qwen2-VL, Qwen2.5-VL and Qwen3-VL over packed rows.
//!
//! One [`VisionLanguageModel`] serves all families: what differs is in [`crate::config::Config`] and in
//! `family`. It scores packs ([`VisionLanguageModel::token_logprobs`]); [`crate::generate`] continues
//! prompts with it. It knows nothing of rewards or losses.
//!
//! T tokens of the row, N scored tokens, F image features, d width.

mod adapter;
mod decoder;
mod family;
mod parameter;
mod placement;
mod positions;
mod tower;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;

use crate::config::Config;
use crate::images::Patches;
use crate::nn::{GradSink, Mode, Rotary, Side, token_divergences, token_logprobs};
use crate::pack::Pack;
use crate::weights::{self, Layout, Precision, Weights};
use crate::{Error, Result};
use adapter::Adapter;
pub(crate) use decoder::{Decoder, Deepstack};
pub use parameter::{Parameter, Part};
pub use placement::Placement;
pub(crate) use positions::{mrope_positions, text_rotary};
use tower::{Features, Tower};

/// A vision encoder and a language model.
#[derive(Debug)]
pub struct VisionLanguageModel {
    config: Config,
    tower: Tower,
    decoder: Decoder,
    /// The published model's, then the adapter's.
    parameters: Vec<Parameter>,
    adapter: Option<Adapter>,
    /// Recompute instead of keep (see [`Mode::checkpoint`]).
    checkpoint: bool,
    composed: bool,
}

/// Log-probability and entropy of every scored token of a pack.
#[derive(Clone, Debug)]
pub struct TokenLogprobs {
    /// Natural log-probability of each target, `[N]`.
    pub logp_n: Tensor,
    /// Entropy of the whole distribution at each target, in nats, `[N]`.
    pub entropy_n: Tensor,
    /// What the head read, `[N, d]`: for [`VisionLanguageModel::token_divergences`].
    pub hidden_nd: Tensor,
}

/// Every intermediate of a forward pass, for tools that compare implementations.
#[derive(Debug)]
pub struct Trace {
    /// Patch embedding, then every ViT block, `[patches, width]`, in window order.
    pub vision_blocks: Vec<Tensor>,
    /// Merged features `[F, d]` in image order.
    pub vision_output: Option<Tensor>,
    /// Deepstack features `[F, d]` in image order.
    pub deepstack: Vec<Tensor>,
    /// Every text layer's output `[T, d]`, deepstack included.
    pub text_layers: Vec<Tensor>,
    /// Logits `[T, V]`.
    pub logits: Tensor,
    /// M-RoPE positions of every token, (t, h, w).
    pub positions: Vec<[u32; 3]>,
}

/// A segment and the images whose tokens it holds.
type Placed<'a> = (usize, &'a [Arc<Patches>]);

/// The images of a pack, each once, and the rows of their tokens.
pub(crate) struct Seen {
    pub features: Option<Features>,
    /// For every feature in tower order, once per place: its tower row and its token's row.
    pub rows: Vec<u32>,
    pub places: Vec<u32>,
}

impl VisionLanguageModel {
    /// Reads a Hugging Face model directory onto the CPU, in f32.
    ///
    /// # Errors
    /// Names file, field and both values for anything that is missing, unknown or of another shape.
    pub fn load(dir: &Path) -> Result<Self> {
        Self::load_on(dir, &Placement::default())
    }

    /// [`VisionLanguageModel::load`] onto a device, in the numbers of its choice.
    ///
    /// # Errors
    /// As [`VisionLanguageModel::load`].
    pub fn load_on(dir: &Path, placement: &Placement) -> Result<Self> {
        let config = Config::from_dir(dir)?;
        let weights = Weights::open(dir)?;
        let family = &family::naming(config.family);
        let mut loader = parameter::Loader { source: &weights, placement, parameters: Vec::new() };
        let tower = Tower::load(&config.vision, family, &mut loader)?;
        let decoder = Decoder::load(&config.text, family, &mut loader)?;
        let parameters = loader.parameters;
        if let [first, ..] = &weights.unused()[..] {
            return Err(Error::input(dir.display(), first, "a tensor of this architecture", "unexpected"));
        }
        let adapter = None;
        Ok(Self { config, tower, decoder, parameters, adapter, checkpoint: false, composed: false })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every parameter, in a fixed order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Trains the parameters of `parts` and freezes all others. An adapter's are not concerned.
    pub fn set_trainable(&self, parts: &[Part]) {
        for parameter in self.parameters.iter().filter(|parameter| !parameter.adapter) {
            parameter.weight.set_trainable(parts.contains(&parameter.part));
        }
    }

    /// Gradient checkpointing: backward passes recompute each block instead of keeping its
    /// intermediates. The gradients are the same to the bit.
    pub fn set_checkpointing(&mut self, on: bool) {
        self.checkpoint = on;
    }

    /// Runs the plain compositions of candle operations instead of the fast path (for tests).
    pub fn set_composed(&mut self, on: bool) {
        self.composed = on;
    }

    pub(crate) fn mode(&self, sink: Option<&GradSink>) -> Mode {
        let pass = sink.and(self.adapter.as_ref()).and_then(Adapter::next_pass);
        Mode { sink: sink.cloned(), checkpoint: self.checkpoint, composed: self.composed, tap: None, pass }
    }

    /// Whether passes run the compositions of candle operations: on another device than a CPU, in other numbers
    /// than f32, or because it was asked for.
    pub(crate) fn composes(&self) -> bool {
        self.mode(None).composes(self.decoder.embedding.var())
    }

    /// Adds the gradients of `loss` to `sink`.
    ///
    /// # Errors
    /// Those of the tensor library.
    pub fn backward(&self, loss: &Tensor, sink: &GradSink) -> Result<()> {
        let weights: Vec<_> = self.parameters.iter().map(|parameter| parameter.weight.clone()).collect();
        Ok(crate::nn::backward(loss, sink, &weights)?)
    }

    /// Scores the completions of a pack under `softmax(logits / temperature)`. With a sink the result is
    /// differentiable and [`VisionLanguageModel::backward`] fills the sink.
    ///
    /// # Errors
    /// A token id outside the vocabulary, image tokens that are not as many as image features, and those
    /// of the tensor library.
    pub fn token_logprobs(
        &self,
        pack: &Pack,
        temperature: f32,
        sink: Option<&GradSink>,
    ) -> Result<TokenLogprobs> {
        let mode = self.mode(sink);
        let hidden_td = self.hidden(pack, &mode, None)?;
        let predictors_n =
            Tensor::from_slice(&pack.predictors_n, pack.predictors_n.len(), hidden_td.device())?;
        let hidden_nd = self.decoder.finish(&hidden_td.index_select(&predictors_n, 0)?, &mode)?;
        let both_2n = token_logprobs(&hidden_nd, &self.decoder.head, &pack.targets_n, temperature, &mode)?;
        Ok(TokenLogprobs { logp_n: both_2n.get(0)?, entropy_n: both_2n.get(1)?, hidden_nd })
    }

    /// `KL(p ‖ q)` over the vocabulary at each token that both scored, `[N]`: `p` by this model, `q` by
    /// `other` (this one given another image, or a frozen one). `learns` says which sides have gradients.
    ///
    /// # Errors
    /// Unlike vocabularies or numbers of tokens, and those of the tensor library.
    pub fn token_divergences(
        &self,
        p: &TokenLogprobs,
        (other, q): (&Self, &TokenLogprobs),
        learns: [bool; 2],
        temperature: f32,
        sink: Option<&GradSink>,
    ) -> Result<Tensor> {
        let p = Side { hidden_nd: &p.hidden_nd, head: &self.decoder.head, learns: learns[0] };
        let q = Side { hidden_nd: &q.hidden_nd, head: &other.decoder.head, learns: learns[1] };
        Ok(token_divergences(p, q, temperature, &self.mode(sink))?)
    }

    /// Hidden states `[T, d]` of a pack before the final norm.
    pub(crate) fn hidden(
        &self,
        pack: &Pack,
        mode: &Mode,
        mut trace: Option<(&mut Vec<Tensor>, &mut Option<Features>)>,
    ) -> Result<Tensor> {
        let seen = self.see(pack, mode, trace.is_some())?;
        let rotary = text_rotary(&self.config.text, &self.positions(pack)?);
        let pick = |features: &Tensor| -> Result<Tensor> {
            let identity = seen.rows.iter().enumerate().all(|(i, &row)| i == row as usize);
            if identity && features.dim(0)? == seen.rows.len() {
                return Ok(features.clone());
            }
            let rows = Tensor::from_slice(&seen.rows, seen.rows.len(), features.device())?;
            Ok(features.index_select(&rows, 0)?)
        };
        let merged = seen.features.as_ref().map(|features| pick(&features.merged)).transpose()?;
        let stack = seen.features.iter().flat_map(|features| &features.deepstack).map(&pick);
        let stack = stack.collect::<Result<Vec<_>>>()?;
        let embedding = &self.decoder.embedding;
        let x = crate::nn::embed(merged.as_ref(), &pack.ids_t, &seen.places, embedding, mode)?;
        let deepstack = Deepstack { features: &stack, places: &seen.places };
        let layers = trace.as_mut().map(|(layers, _)| &mut **layers);
        let hidden = self.decoder.forward(x, &rotary, &pack.segments, &deepstack, mode, layers)?;
        if let Some((_, features)) = trace {
            *features = seen.features;
        }
        Ok(hidden)
    }

    /// Runs every distinct image of the pack once.
    fn see(&self, pack: &Pack, mode: &Mode, trace: bool) -> Result<Seen> {
        let (mut distinct, mut index): (Vec<&Patches>, HashMap<*const Patches, usize>) = Default::default();
        let mut firsts = vec![0u32];
        let merge = self.config.vision.merge_size;
        let mut uses: Vec<(usize, Vec<u32>)> = Vec::new();
        for (segment, images) in self.placed_images(pack)? {
            let mut tokens = self.image_rows(pack, segment).into_iter();
            for image in images {
                let at = *index.entry(Arc::as_ptr(image)).or_insert_with(|| {
                    distinct.push(image);
                    firsts.push(firsts[distinct.len() - 1] + image.image_tokens(merge) as u32);
                    distinct.len() - 1
                });
                uses.push((at, tokens.by_ref().take(image.image_tokens(merge)).collect()));
            }
        }
        if distinct.is_empty() {
            return Ok(Seen { features: None, rows: vec![], places: vec![] });
        }
        let features = self.tower.forward(&distinct, mode, trace)?;
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        for (at, tokens) in uses {
            let (first, end) = (firsts[at], firsts[at + 1]);
            for (row, &feature) in (first..end).zip(&features.order[first as usize..end as usize]) {
                rows.push(row);
                places.push(tokens[(feature - first) as usize]);
            }
        }
        Ok(Seen { features: Some(features), rows, places })
    }

    /// Segments with image tokens, and the images they are of, in order of segments. A shared beginning takes
    /// the first images of its prompts; each prompt's rest takes what is left; completions bring their own.
    fn placed_images<'a>(&self, pack: &'a Pack) -> Result<Vec<Placed<'a>>> {
        let merge = self.config.vision.merge_size;
        let mut placed = Vec::new();
        for root in &pack.roots {
            let take = |segment: usize, images: &'a [Arc<Patches>]| {
                let tokens = self.image_rows(pack, segment).len();
                let (mut count, mut sum) = (0, 0);
                while count < images.len() && sum < tokens {
                    sum += images[count].image_tokens(merge);
                    count += 1;
                }
                let (own, left) = images.split_at(count);
                if sum == tokens { Ok((own, left)) } else { Err(image_token_error(tokens, images, merge)) }
            };
            let (own, left) = take(root.segment, &root.images)?;
            placed.push((root.segment, own));
            if root.rests.is_empty() && !left.is_empty() {
                let tokens = self.image_rows(pack, root.segment).len();
                return Err(image_token_error(tokens, &root.images, merge));
            }
            for &rest in &root.rests {
                let (own, unused) = take(rest, left)?;
                if !unused.is_empty() {
                    return Err(image_token_error(self.image_rows(pack, rest).len(), left, merge));
                }
                placed.push((rest, own));
            }
        }
        for (segment, images) in &pack.continued {
            let (found, tokens) = (self.image_rows(pack, *segment).len(), image_tokens(images, merge));
            if found != tokens {
                return Err(image_token_error(found, images, merge));
            }
            placed.push((*segment, images));
        }
        placed.sort_by_key(|(segment, _)| *segment);
        Ok(placed)
    }

    /// What the language model takes of one image: merged features, then deepstack features, `[F, d]` each,
    /// in the order of its tokens.
    pub(crate) fn look(&self, image: &Patches) -> Result<Vec<Tensor>> {
        let features = self.tower.forward(&[image], &self.mode(None), false)?;
        let all = std::iter::once(&features.merged).chain(&features.deepstack);
        all.map(|x| in_image_order(x, &features.order)).collect()
    }

    fn image_rows(&self, pack: &Pack, segment: usize) -> Vec<u32> {
        let rows = pack.segments.segment(segment).tokens();
        let image = self.config.image_token_id;
        rows.filter(|&row| pack.ids_t[row] == image).map(|row| row as u32).collect()
    }

    /// M-RoPE positions of every token of a pack: a segment continues where its parent ends.
    pub(crate) fn positions(&self, pack: &Pack) -> Result<Vec<[u32; 3]>> {
        let (mut positions, mut ends) = (Vec::with_capacity(pack.ids_t.len()), Vec::new());
        let placed = self.placed_images(pack)?;
        let mut placed = placed.into_iter().peekable();
        for (index, segment) in pack.segments.iter().enumerate() {
            let grids: Vec<[usize; 3]> = match placed.next_if(|(segment, _)| *segment == index) {
                Some((_, images)) => images.iter().map(|image| image.grid_thw).collect(),
                None => vec![],
            };
            let start = segment.parent.map_or(0, |parent| ends[parent]);
            let (ids, image) = (&pack.ids_t[segment.tokens()], self.config.image_token_id);
            let (own, end) = mrope_positions(ids, image, &grids, self.config.vision.merge_size, start);
            if own.len() != ids.len() {
                return Err(Error::input("prompt", "image tokens", own.len(), ids.len()));
            }
            positions.extend(own);
            ends.push(end);
        }
        Ok(positions)
    }

    /// Every intermediate of a forward pass over a pack, without gradients.
    ///
    /// # Errors
    /// As [`VisionLanguageModel::token_logprobs`].
    pub fn trace(&self, pack: &Pack) -> Result<Trace> {
        let (mode, mut text_layers, mut features) = (self.mode(None), Vec::new(), None);
        let hidden_td = self.hidden(pack, &mode, Some((&mut text_layers, &mut features)))?;
        let normed = self.decoder.finish(&hidden_td, &mode)?;
        let logits = normed.matmul(&self.decoder.head.var().t()?)?;
        let (mut vision_output, mut deepstack, mut vision_blocks) = (None, Vec::new(), Vec::new());
        if let Some(features) = features {
            vision_output = Some(in_image_order(&features.merged, &features.order)?);
            let stack = features.deepstack.iter().map(|x| in_image_order(x, &features.order));
            deepstack = stack.collect::<Result<_>>()?;
            vision_blocks = features.trace;
        }
        let positions = self.positions(pack)?;
        Ok(Trace { vision_blocks, vision_output, deepstack, text_layers, logits, positions })
    }

    /// Writes the weights into an existing directory, as published; an adapter's only where it is merged.
    ///
    /// # Errors
    /// Those of the file system, and numbers that `precision` cannot hold.
    pub fn save_weights(&self, dir: &Path, precision: Precision) -> Result<()> {
        let mut tensors = Vec::new();
        for parameter in self.parameters.iter().filter(|parameter| !parameter.adapter) {
            tensors.extend(parameter.published()?);
        }
        weights::save(dir, tensors, &Layout { precision, ..Layout::default() }).map(|_| ())
    }

    /// The text model's rotary angles at given positions.
    pub(crate) fn rotary(&self, positions: &[[u32; 3]]) -> Rotary {
        text_rotary(&self.config.text, positions)
    }
}

/// Rows in tower order, put in image order.
fn in_image_order(x: &Tensor, order: &[u32]) -> Result<Tensor> {
    let mut inverse = vec![0u32; order.len()];
    order.iter().enumerate().for_each(|(row, &index)| inverse[index as usize] = row as u32);
    Ok(x.index_select(&Tensor::from_vec(inverse, order.len(), x.device())?, 0)?)
}

fn image_tokens(images: &[Arc<Patches>], merge: usize) -> usize {
    images.iter().map(|image| image.image_tokens(merge)).sum()
}

fn image_token_error(found: usize, images: &[Arc<Patches>], merge: usize) -> Error {
    let expected = format!("{}, for {} images", image_tokens(images, merge), images.len());
    Error::input("prompt", "image tokens", expected, found)
}
