//! Comparing foveate with a dump of transformers, quantity by quantity.
//!
//! The dump's layout is in `tests/golden/model/README.md`; the larger one of the oracle is read as well.

#![allow(dead_code)] // no program needs all of it

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use foveate_vision::generate::{Request, Sampling, generate};
use foveate_vision::images::Patches;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::nn::GradSink;
use foveate_vision::pack::{Pack, PackBuilder};
use foveate_vision::processor::Prompt;

type Tensors = HashMap<String, Tensor>;
/// Anything may fail here; the caller prints it.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Largest differences so far, by quantity, with their tolerances.
#[derive(Default)]
pub struct Table(pub Vec<(String, f64, f64)>);

impl Table {
    fn note(&mut self, quantity: &str, difference: f64, tolerance: f64) {
        match self.0.iter_mut().find(|(name, _, _)| name == quantity) {
            Some(row) => row.1 = row.1.max(difference),
            None => self.0.push((quantity.into(), difference, tolerance)),
        }
    }

    fn compare(&mut self, quantity: &str, ours: &Tensor, theirs: &Tensor, tolerance: f64) -> Outcome<()> {
        let theirs = theirs.reshape(ours.shape())?;
        let difference = (ours - theirs)?.abs()?.max_all()?.to_scalar::<f32>()?;
        self.note(quantity, f64::from(difference), tolerance);
        Ok(())
    }
}

fn integers(tensor: &Tensor) -> Outcome<Vec<i64>> {
    Ok(tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()?)
}

fn ids(tensor: &Tensor) -> Outcome<Vec<u32>> {
    Ok(integers(tensor)?.into_iter().map(|id| id as u32).collect())
}

/// The images of a dump: `pixel_values` cut by `image_grid_thw`.
fn images(model: &VisionLanguageModel, dump: &Tensors) -> Outcome<Vec<Arc<Patches>>> {
    let (Some(pixels), Some(grids)) = (dump.get("pixel_values"), dump.get("image_grid_thw_i64")) else {
        return Ok(vec![]);
    };
    let (mut first, vision) = (0, &model.config().vision);
    let mut found = Vec::new();
    for grid in integers(grids)?.chunks(3) {
        let grid = [grid[0] as usize, grid[1] as usize, grid[2] as usize];
        let count = grid.iter().product();
        let values = pixels.narrow(0, first, count)?.flatten_all()?.to_vec1::<f32>()?;
        let (channels, frames, side) = (vision.channels, vision.temporal_patch_size, vision.patch_size);
        found.push(Arc::new(Patches::from_pixel_values(&values, grid, channels, frames, side)?));
        first += count;
    }
    Ok(found)
}

fn single(
    model: &VisionLanguageModel,
    dump: &Tensors,
    prompt: &Prompt,
    completion: &[u32],
    table: &mut Table,
) -> Outcome<()> {
    let full = Prompt { input_ids: ids(&dump["input_ids_i64"])?, images: prompt.images.clone() };
    let mut builder = PackBuilder::new();
    builder.root(&full)?;
    let trace = model.trace(&builder.build()?)?;
    let positions = integers(&dump["position_ids_i64"])?;
    let tokens = full.input_ids.len();
    let differing = (0..3 * tokens)
        .filter(|&i| positions[i] != i64::from(trace.positions[i % tokens][i / tokens]))
        .count();
    table.note("positions differing", differing as f64, 0.0);
    let next = trace.positions.iter().flatten().max().map_or(0, |last| i64::from(last + 1));
    let delta = next - tokens as i64 - integers(&dump["rope_deltas_i64"])?[0];
    table.note("rope delta", delta.abs() as f64, 0.0);
    let dumped = dump["logits"].dim(1)?;
    let logits = trace.logits.narrow(0, tokens - dumped, dumped)?;
    table.compare("logits", &logits, &dump["logits"], 1e-4)?;
    let image = model.config().image_token_id;
    let rows = (0..tokens as u32).filter(|&row| full.input_ids[row as usize] == image);
    let image_rows = Tensor::new(rows.collect::<Vec<u32>>(), &Device::Cpu)?;
    for (index, layer) in trace.text_layers.iter().enumerate() {
        if let Some(theirs) = dump.get(&format!("text.layer.{index}")) {
            // transformers dumps a layer before the deepstack features are added to it.
            let ours = match trace.deepstack.get(index) {
                Some(features) => layer.index_add(&image_rows, &features.neg()?, 0)?,
                None => layer.clone(),
            };
            table.compare("text layers", &ours, theirs, 1e-4)?;
        }
    }
    for (index, block) in trace.vision_blocks.iter().enumerate() {
        let name = match index {
            0 => "vision.patch_embed".to_string(),
            _ => format!("vision.block.{}", index - 1),
        };
        // The patch embedding is dumped in image order, and without the position table.
        if let (Some(theirs), true) = (dump.get(&name), index > 0) {
            table.compare("ViT blocks", block, theirs, 1e-4)?;
        }
    }
    if let Some(ours) = &trace.vision_output {
        table.compare("vision output", ours, &dump["vision.output"], 1e-4)?;
    }
    for (index, ours) in trace.deepstack.iter().enumerate() {
        table.compare("deepstack", ours, &dump[&format!("vision.deepstack.{index}")], 1e-4)?;
    }
    let mut builder = PackBuilder::new();
    let root = builder.root(prompt)?;
    builder.completion(root, completion)?;
    let scored = model.token_logprobs(&builder.build()?, 1.0, None)?;
    table.compare("log-probs", &scored.logp_n, &dump["completion_logprobs"], 2e-4)?;
    table.compare("entropy", &scored.entropy_n, &dump["completion_entropy"], 2e-4)
}

/// A padded training batch, packed, and the places of its tokens in the padded table.
fn packed(model: &VisionLanguageModel, dump: &Tensors) -> Outcome<(Pack, Tensor)> {
    let [rows, width] = dump["input_ids_i64"].dims2().map(|(a, b)| [a, b])?;
    let (all, mask) = (ids(&dump["input_ids_i64"])?, integers(&dump["attention_mask_i64"])?);
    let completion_mask = integers(&dump["completion_mask_i64"])?;
    let completion_width = completion_mask.len() / rows;
    let mut left = images(model, dump)?.into_iter();
    let (mut builder, mut kept) = (PackBuilder::new(), Vec::new());
    for row in 0..rows {
        let cell = |column: usize| row * width + column;
        let (prompt_end, merge) = (width - completion_width, model.config().vision.merge_size);
        let prompt: Vec<u32> =
            (0..prompt_end).filter(|&c| mask[cell(c)] == 1).map(|c| all[cell(c)]).collect();
        let completion: Vec<u32> =
            (prompt_end..width).filter(|&c| mask[cell(c)] == 1).map(|c| all[cell(c)]).collect();
        let mut tokens = prompt.iter().filter(|&&id| id == model.config().image_token_id).count();
        let mut images = Vec::new();
        while tokens > 0 {
            let image = left.next().ok_or("fewer images than image tokens")?;
            tokens -= image.image_tokens(merge);
            images.push(image);
        }
        let root = builder.root(&Prompt { input_ids: prompt, images })?;
        builder.completion(root, &completion)?;
        let first = (row * completion_width) as u32;
        kept.extend((0..completion.len() as u32).map(|i| first + i));
    }
    Ok((builder.build()?, Tensor::new(kept, &Device::Cpu)?))
}

/// The log-probabilities and the loss of a training batch against `theirs`; every gradient too, where they are
/// wanted, under the names that `theirs` calls them by behind `prefix`.
fn batch(
    model: &VisionLanguageModel,
    dump: &Tensors,
    theirs: &Tensors,
    grads: Option<(&Tensors, &str)>,
    table: &mut Table,
) -> Outcome<()> {
    let (pack, kept) = packed(model, dump)?;
    let sink = GradSink::default();
    let scored = model.token_logprobs(&pack, 1.0, Some(&sink))?;
    let pick = |name: &str| theirs[name].flatten_all()?.index_select(&kept, 0);
    table.compare("batch log-probs", &scored.logp_n, &pick("logprobs")?, 2e-4)?;
    table.compare("batch entropy", &scored.entropy_n, &pick("entropy")?, 2e-4)?;
    let loss = scored.logp_n.mean_all()?.neg()?;
    table.compare("loss", &loss, &theirs["loss"], 2e-5)?;
    let Some((grads, prefix)) = grads else { return Ok(()) };
    model.backward(&loss, &sink)?;
    let mut compared = 0;
    for parameter in model.parameters().iter().filter(|parameter| parameter.trainable()) {
        let ours = sink.read(parameter.var(), |grad| grad.to_vec());
        let ours = ours.ok_or_else(|| format!("{} has no gradient", parameter.name))?;
        for (name, _, ours) in parameter.split(&ours) {
            let Some(theirs) = grads.get(&format!("{prefix}{name}")) else { continue };
            let theirs = theirs.flatten_all()?.to_vec1::<f32>()?;
            let square = |values: &mut dyn Iterator<Item = f32>| -> f64 {
                values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt()
            };
            let off = square(&mut ours.iter().zip(&theirs).map(|(a, b)| a - b));
            let relative = off / square(&mut theirs.iter().copied()).max(1e-12);
            if relative > 1e-3 {
                println!("  {name}: relative {relative:.2e}");
            }
            table.note("gradients (relative)", relative, 1e-3);
            compared += 1;
        }
    }
    let there = grads.keys().filter(|name| name.starts_with(prefix)).count();
    table.note("gradients of the dump not compared", (there - compared) as f64, 0.0);
    Ok(())
}

/// A model with an adapter against what PEFT computed with it.
pub fn compare_adapter(model: &VisionLanguageModel, dump: &Path, theirs: &Path) -> Outcome<Table> {
    let (dump, theirs, mut table) = (load(dump)?, load(theirs)?, Table::default());
    batch(model, &dump, &theirs, Some((&theirs, "grad.")), &mut table)?;
    Ok(table)
}

/// The same without gradients.
pub fn compare_batch(model: &VisionLanguageModel, dump: &Path, theirs: &Path) -> Outcome<Table> {
    let (dump, theirs, mut table) = (load(dump)?, load(theirs)?, Table::default());
    batch(model, &dump, &theirs, None, &mut table)?;
    Ok(table)
}

fn load(path: &Path) -> Outcome<Tensors> {
    Ok(candle_core::safetensors::load(path, &Device::Cpu)?)
}

/// The whole table for one checkpoint and its dump.
pub fn compare(checkpoint: &Path, reference: &Path) -> Outcome<Table> {
    let model = VisionLanguageModel::load(checkpoint)?;
    let read = |name: &str| std::fs::read_to_string(reference.join(name));
    let prompts: serde_json::Value = serde_json::from_str(&read("prompts.json")?)?;
    let greedy: serde_json::Value = serde_json::from_str(&read("generate.json")?)?;
    let training = load(&reference.join("train.safetensors"))?;
    let mut table = Table::default();
    for (name, prompt) in prompts.as_object().ok_or("prompts.json is no object")? {
        let dump = load(&reference.join(format!("single_{name}.safetensors")))?;
        let mut seen = images(&model, &dump)?;
        if seen.is_empty() && prompt["images"].as_array().is_some_and(|images| !images.is_empty()) {
            seen = images(&model, &training)?.into_iter().last().into_iter().collect();
        }
        let input = Prompt { input_ids: numbers(&prompt["input_ids"]), images: seen };
        single(&model, &dump, &input, &numbers(&prompt["completion_ids"]), &mut table)?;
        let want = numbers(&greedy[name]["single"]);
        if !want.is_empty() {
            let got = continued(&model, input, want.len())?;
            let differing = got.iter().zip(&want).filter(|(a, b)| a != b).count();
            table.note("greedy tokens differing", differing as f64, 0.0);
        }
    }
    let grads = load(&reference.join("grads.safetensors"))?;
    batch(&model, &training, &training, Some((&grads, "")), &mut table)?;
    Ok(table)
}

fn numbers(value: &serde_json::Value) -> Vec<u32> {
    value.as_array().into_iter().flatten().filter_map(|id| id.as_u64()).map(|id| id as u32).collect()
}

/// Greedy tokens as transformers chooses them: placeholders too.
fn continued(model: &VisionLanguageModel, prompt: Prompt, max_tokens: usize) -> Outcome<Vec<u32>> {
    let sampling = Sampling { max_tokens, temperature: 0.0, allow_placeholders: true, ..Sampling::default() };
    let request = Request { prompt: Arc::new(prompt), n: 1, seed: 0 };
    Ok(generate(model, &[request], &sampling)?.remove(0).remove(0).ids)
}
