//! Running the next turn of a conversation over kept keys and values.
//!
//! Only the new tokens run: what a rollout sampled before is neither run nor tokenised again. A rollout's new
//! tokens run alone, so that what follows does not depend on the batch, to the bit.
//!
//! T new tokens, F image tokens among them, d width.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;
use rayon::prelude::*;

use super::cache::Row;
use super::decode::config_width;
use crate::images::Patches;
use crate::models::{VisionLanguageModel, mrope_positions};
use crate::nn::{Buffer, Layer, attend_behind};
use crate::processor::Prompt;
use crate::{Error, Result};

/// What the tower made of each image, by its address: merged features, then deepstack features.
pub(crate) type Looks = HashMap<usize, Vec<Vec<f32>>>;

fn address(image: &Arc<Patches>) -> usize {
    Arc::as_ptr(image).addr()
}

/// Runs every distinct image of `turns` through the tower, each alone.
pub(crate) fn look<'a>(
    model: &VisionLanguageModel,
    turns: impl Iterator<Item = &'a Prompt>,
) -> Result<Looks> {
    let mut distinct: Vec<&Arc<Patches>> = turns.flat_map(|turn| &turn.images).collect();
    distinct.sort_by_key(|image| address(image));
    distinct.dedup_by_key(|image| address(image));
    let host = |x: &Tensor| Ok(x.flatten_all()?.to_vec1::<f32>()?);
    let one = |image: &Arc<Patches>| model.look(image)?.iter().map(host).collect::<Result<Vec<_>>>();
    let seen = distinct.par_iter().map(|image| one(image)).collect::<Result<Vec<_>>>()?;
    Ok(distinct.into_iter().map(address).zip(seen).collect())
}

/// Runs `turn` behind everything that `row` has run; the last token's hidden state, `[d]`.
pub(crate) fn extend(
    model: &VisionLanguageModel,
    row: &mut Row,
    turn: &Prompt,
    looks: &Looks,
) -> Result<Vec<f32>> {
    let (decoder, config, ids) = (model.decoder(), model.config(), &turn.input_ids);
    let (dims, width) = (decoder.dims, config_width(model));
    let grids: Vec<[usize; 3]> = turn.images.iter().map(|image| image.grid_thw).collect();
    let (positions, end) =
        mrope_positions(ids, config.image_token_id, &grids, config.vision.merge_size, row.position);
    let features = Features::of(model, turn, looks)?;
    if positions.len() != ids.len() {
        return Err(Error::input("turn", "image tokens", positions.len(), ids.len()));
    }
    let rotary = model.rotary(&positions);
    let mut x = embedded(model, ids)?;
    features.put(0, &mut x, width, |x, feature| x.copy_from_slice(feature));
    for (index, layer) in decoder.layers.iter().enumerate() {
        let block = &layer.attention;
        let (qkv, _) = block.project(&x, &dims, &rotary, false)?;
        let own = &mut row.own[index];
        for token in qkv.chunks_exact(dims.q_width() + 2 * dims.kv_width()) {
            let (keys, values) = token[dims.q_width()..].split_at(dims.kv_width());
            own.keys.extend_from_slice(keys);
            own.values.extend_from_slice(values);
        }
        let shared = &row.prompt.layers[index];
        let (keys, values) =
            ([&shared.keys[..], &own.keys].concat(), [&shared.values[..], &own.values].concat());
        block.out.add_to(&attend_behind(&qkv, &keys, &values, dims), &mut x)?;
        x = layer.mlp.forward(&x)?.0;
        features.put(index + 1, &mut x, width, |x, feature| {
            x.iter_mut().zip(feature).for_each(|(x, feature)| *x += feature);
        });
    }
    (row.steps, row.position) = (row.steps + ids.len(), end);
    Ok(x[(ids.len() - 1) * width..].to_vec())
}

/// Rows of the embedding, `[T, d]`.
fn embedded(model: &VisionLanguageModel, ids: &[u32]) -> Result<Buffer> {
    let (table, width) = (model.decoder().embedding.host()?, config_width(model));
    let mut x = Buffer::new(ids.len() * width);
    for (x, &id) in x.chunks_exact_mut(width).zip(ids) {
        let first = id as usize * width;
        let row = table.get(first..first + width);
        x.copy_from_slice(
            row.ok_or_else(|| {
                Error::input("turn", "token id", format!("below {}", table.len() / width), id)
            })?,
        );
    }
    Ok(x)
}

/// The features of a turn's images and the rows of their tokens.
struct Features<'a> {
    /// For every image, its features at each level.
    images: Vec<&'a [Vec<f32>]>,
    places_f: Vec<usize>,
}

impl<'a> Features<'a> {
    fn of(model: &VisionLanguageModel, turn: &Prompt, looks: &'a Looks) -> Result<Self> {
        let config = model.config();
        let places = turn.input_ids.iter().enumerate().filter(|(_, id)| **id == config.image_token_id);
        let places_f: Vec<usize> = places.map(|(place, _)| place).collect();
        let merge = config.vision.merge_size;
        let tokens: usize = turn.images.iter().map(|image| image.image_tokens(merge)).sum();
        if places_f.len() != tokens {
            let expected = format!("{tokens}, for {} images", turn.images.len());
            return Err(Error::input("turn", "image tokens", expected, places_f.len()));
        }
        let images = turn.images.iter().filter_map(|image| looks.get(&address(image)));
        Ok(Self { images: images.map(Vec::as_slice).collect(), places_f })
    }

    /// Hands every image token's row and its feature at `level` to `write`; nothing where that level has none.
    fn put(&self, level: usize, x: &mut [f32], width: usize, write: impl Fn(&mut [f32], &[f32])) {
        let levels = self.images.iter().filter_map(|image| image.get(level));
        let features = levels.flat_map(|features| features.chunks_exact(width));
        for (&place, feature) in self.places_f.iter().zip(features) {
            write(&mut x[place * width..][..width], feature);
        }
    }
}
