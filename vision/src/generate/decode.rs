//! Prefill and one decoding step, on slices.
//!
//! R rollouts, T prompt tokens, V vocabulary, d width, H query heads, K key heads, D width of a head.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::cache::{KeyValues, PromptCache, Row};
use super::extend::{Looks, extend};
use crate::Result;
use crate::models::{VisionLanguageModel, mrope_positions};
use crate::nn::simd::{dot, exp_shifted, max, vectorised};
use crate::nn::{Buffer, Dims, KvTap, skinny};
use crate::pack::PackBuilder;
use crate::processor::Prompt;

/// A cache and the last hidden state behind it, `[d]`.
type Prefilled = (Arc<PromptCache>, Vec<f32>);

/// Runs the prompts: their caches, and the logits `[prompts, V]` of their next tokens.
///
/// What a prompt says up to its last image runs once for all prompts that begin so, and the rest of each runs
/// behind it, alone. Where a prompt is cut depends on that prompt only, so what it leaves behind does not
/// depend on the others, to the bit.
pub(crate) fn prefill(
    model: &VisionLanguageModel,
    prompts: &[&Prompt],
) -> Result<(Vec<Arc<PromptCache>>, Vec<f32>)> {
    let cuts: Vec<usize> = prompts.iter().map(|prompt| cut(model, prompt)).collect();
    let (mut distinct, mut index) = (Vec::new(), HashMap::new());
    let mut beginning_of = Vec::with_capacity(prompts.len());
    for (prompt, &cut) in prompts.iter().zip(&cuts) {
        let images: Vec<usize> = prompt.images.iter().map(|image| Arc::as_ptr(image).addr()).collect();
        beginning_of.push(*index.entry((&prompt.input_ids[..cut], images)).or_insert_with(|| {
            distinct
                .push(Prompt { input_ids: prompt.input_ids[..cut].to_vec(), images: prompt.images.clone() });
            distinct.len() - 1
        }));
    }
    let begun = distinct.par_iter().map(|beginning| begin(model, beginning)).collect::<Result<Vec<_>>>()?;
    let whole = |((prompt, &cut), &at): ((&&Prompt, &usize), &usize)| {
        let rest = Prompt { input_ids: prompt.input_ids[cut..].to_vec(), images: vec![] };
        if rest.input_ids.is_empty() { Ok(begun[at].clone()) } else { end(model, &begun[at].0, &rest) }
    };
    let done = prompts.par_iter().zip(&cuts).zip(&beginning_of).map(whole).collect::<Result<Vec<_>>>()?;
    let (caches, hidden): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    Ok((caches, logits(model, &hidden.concat())?))
}

/// The tokens of a prompt up to its last image token; all of them where it has no image.
fn cut(model: &VisionLanguageModel, prompt: &Prompt) -> usize {
    let image = model.config().image_token_id;
    prompt.input_ids.iter().rposition(|&id| id == image).map_or(prompt.input_ids.len(), |last| last + 1)
}

/// Of the first tokens of a prompt.
fn begin(model: &VisionLanguageModel, beginning: &Prompt) -> Result<Prefilled> {
    let mut builder = PackBuilder::new();
    builder.root(beginning)?;
    let (pack, tap) = (builder.build()?, KvTap::default());
    let hidden_td = model.hidden(&pack, &model.mode(None).tapped(&tap), None)?;
    let tokens = beginning.input_ids.len();
    let hidden = hidden_td.get(tokens - 1)?.to_vec1::<f32>()?;
    let grids: Vec<[usize; 3]> = beginning.images.iter().map(|image| image.grid_thw).collect();
    let (config, ids) = (model.config(), &beginning.input_ids);
    let (_, position) = mrope_positions(ids, config.image_token_id, &grids, config.vision.merge_size, 0);
    let layers = tap.take().into_iter();
    let layers = layers.map(|(keys, values)| KeyValues { keys: keys.to_vec(), values: values.to_vec() });
    Ok((Arc::new(PromptCache { layers: layers.collect(), tokens, position }), hidden))
}

/// The same of a whole prompt, from its beginning's.
fn end(model: &VisionLanguageModel, begun: &Arc<PromptCache>, rest: &Prompt) -> Result<Prefilled> {
    let mut row = Row::new(begun);
    let hidden = extend(model, &mut row, rest, &Looks::default())?;
    Ok((Arc::new(PromptCache::of(&row)), hidden))
}

pub(crate) fn config_width(model: &VisionLanguageModel) -> usize {
    model.config().text.hidden_size
}

/// Logits `[R, V]` of hidden states `[R, d]` before the final norm.
pub(crate) fn logits(model: &VisionLanguageModel, hidden: &[f32]) -> Result<Vec<f32>> {
    let normed = model.decoder().norm.apply(hidden)?;
    let head = model.decoder().head.host()?;
    Ok(skinny::product(&normed, &head, config_width(model)).into_vec())
}

/// Runs every row's next token; logits `[R, V]`.
pub(crate) fn step(model: &VisionLanguageModel, rows: &mut [&mut Row]) -> Result<Vec<f32>> {
    let (decoder, width) = (model.decoder(), config_width(model));
    let dims = decoder.dims;
    let mut x = Buffer::new(rows.len() * width);
    {
        let table = decoder.embedding.host()?;
        for (x, row) in x.chunks_exact_mut(width).zip(rows.iter()) {
            x.copy_from_slice(&table[row.next as usize * width..][..width]);
        }
    }
    let positions: Vec<[u32; 3]> = rows.iter().map(|row| [row.position; 3]).collect();
    let rotary = model.rotary(&positions);
    for (index, layer) in decoder.layers.iter().enumerate() {
        let block = &layer.attention;
        let normed = block.norm.apply(&x)?;
        let mut qkv = block.qkv.apply_few(&normed)?;
        block.turn(&mut qkv, &dims, &rotary)?;
        let stride = dims.q_width() + 2 * dims.kv_width();
        for (row, qkv) in rows.iter_mut().zip(qkv.chunks_exact(stride)) {
            let (keys, values) = qkv[dims.q_width()..].split_at(dims.kv_width());
            row.own[index].keys.extend_from_slice(keys);
            row.own[index].values.extend_from_slice(values);
        }
        let mut out = Buffer::new(rows.len() * dims.q_width());
        out.par_chunks_mut(dims.q_width()).zip(qkv.par_chunks(stride)).zip(&*rows).for_each(
            |((out, qkv), row)| {
                vectorised(|| attend(out, qkv, &row.prompt.layers[index], &row.own[index], dims));
            },
        );
        add(&mut x, &block.out.apply_few(&out)?);
        let mlp = &layer.mlp;
        let hidden = mlp.up.apply_few(&mlp.norm.apply(&x)?)?;
        let active = mlp.act.forward(&hidden, mlp.down.inner());
        add(&mut x, &mlp.down.apply_few(&active)?);
    }
    for row in rows {
        (row.steps, row.position) = (row.steps + 1, row.position + 1);
    }
    logits(model, &x)
}

fn add(x: &mut [f32], y: &[f32]) {
    vectorised(|| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
}

/// One row's attention over its prompt and its own tokens: `q` leads `qkv`, `out` is `[H, D]`.
#[inline(always)]
fn attend(out: &mut [f32], qkv: &[f32], prompt: &KeyValues, own: &KeyValues, dims: Dims) {
    let (d, width, per_kv) = (dims.head_dim, dims.kv_width(), dims.heads_per_kv());
    let mut scores = Vec::with_capacity((prompt.keys.len() + own.keys.len()) / width);
    for head in 0..dims.heads {
        let (q, at) = (&qkv[head * d..][..d], head / per_kv * d);
        scores.clear();
        for keys in [&prompt.keys, &own.keys] {
            scores.extend(keys.chunks_exact(width).map(|key| dot(q, &key[at..at + d]) * dims.scale()));
        }
        let peak = max(&scores);
        let norm = 1.0 / exp_shifted(&mut scores, peak);
        let out = &mut out[head * d..][..d];
        out.fill(0.0);
        let values = [&prompt.values, &own.values].into_iter().flat_map(|values| values.chunks_exact(width));
        for (weight, value) in scores.iter().zip(values) {
            let weight = weight * norm;
            out.iter_mut().zip(&value[at..at + d]).for_each(|(out, value)| *out += weight * value);
        }
    }
}
