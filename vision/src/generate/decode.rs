//! Prefill and one decoding step, on slices.
//!
//! R rollouts, T prompt tokens, V vocabulary, d width, H query heads, K key heads, D width of a head.

use rayon::prelude::*;

use super::cache::{KeyValues, PromptCache, Row};
use crate::Result;
use crate::models::{VisionLanguageModel, mrope_positions};
use crate::nn::simd::{dot, exp_shifted, max, vectorised};
use crate::nn::{Buffer, Dims, KvTap, Linear, skinny};
use crate::pack::PackBuilder;
use crate::processor::Prompt;

/// Runs all prompts in one pack: their caches, and the logits `[prompts, V]` of their next tokens.
pub(crate) fn prefill(
    model: &VisionLanguageModel,
    prompts: &[&Prompt],
) -> Result<(Vec<PromptCache>, Vec<f32>)> {
    let mut builder = PackBuilder::new();
    for prompt in prompts {
        builder.root(prompt)?;
    }
    let pack = builder.build()?;
    let tap = KvTap::default();
    let hidden_td = model.hidden(&pack, &model.mode(None).tapped(&tap), None)?;
    let layers = tap.take();
    let (width, config) = (config_width(model), model.config());
    let kv_width = model.decoder().dims.kv_width();
    let mut caches = Vec::with_capacity(prompts.len());
    let mut last_hidden = Vec::with_capacity(prompts.len() * width);
    let hidden = hidden_td.flatten_all()?.to_vec1::<f32>()?;
    for (segment, prompt) in pack.segments.iter().zip(prompts) {
        let rows = segment.tokens();
        let columns = rows.start * kv_width..rows.end * kv_width;
        let cut = |(keys, values): &(Buffer, Buffer)| KeyValues {
            keys: keys[columns.clone()].to_vec(),
            values: values[columns.clone()].to_vec(),
        };
        let grids: Vec<[usize; 3]> = prompt.images.iter().map(|image| image.grid_thw).collect();
        let merge = config.vision.merge_size;
        let (_, position) = mrope_positions(&prompt.input_ids, config.image_token_id, &grids, merge, 0);
        caches.push(PromptCache { layers: layers.iter().map(cut).collect(), tokens: rows.len(), position });
        last_hidden.extend_from_slice(&hidden[(rows.end - 1) * width..][..width]);
    }
    Ok((caches, logits(model, &last_hidden)?))
}

fn config_width(model: &VisionLanguageModel) -> usize {
    model.config().text.hidden_size
}

/// Logits `[R, V]` of hidden states `[R, d]` before the final norm.
fn logits(model: &VisionLanguageModel, hidden: &[f32]) -> Result<Vec<f32>> {
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
    let positions: Vec<[u32; 3]> = rows.iter().map(|row| [row.prompt.position + row.steps; 3]).collect();
    let rotary = model.rotary(&positions);
    for (index, layer) in decoder.layers.iter().enumerate() {
        let block = &layer.attention;
        let normed = block.norm.apply(&x)?;
        let mut qkv = apply(&block.qkv, &normed)?;
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
        add(&mut x, &apply(&block.out, &out)?);
        let mlp = &layer.mlp;
        let hidden = apply(&mlp.up, &mlp.norm.apply(&x)?)?;
        let active = mlp.act.forward(&hidden, mlp.down.inner());
        add(&mut x, &apply(&mlp.down, &active)?);
    }
    rows.iter_mut().for_each(|row| row.steps += 1);
    logits(model, &x)
}

fn add(x: &mut [f32], y: &[f32]) {
    vectorised(|| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
}

fn apply(linear: &Linear, x: &[f32]) -> Result<Buffer> {
    let mut y = skinny::product(x, &linear.weight.host()?, linear.inner());
    if let Some(bias) = &linear.bias {
        let bias = bias.host()?;
        y.chunks_exact_mut(bias.len()).for_each(|row| add(row, &bias));
    }
    Ok(y)
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
