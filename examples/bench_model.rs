//! `bench_model CHECKPOINT INPUTS`: our side of `benches/peers/model.py`, which documents the protocol.
//!
//! Answers each letter on standard input with one line: `a` (8 prompts, a completion each) and `b` (one
//! prompt, 8 completions) with `ms loss gradnorm peak_rss_mib`, `d` (greedy decoding) with
//! `decode_ms mean_logprob total_ms peak_rss_mib`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use foveate_vision::generate::{Conversations, Request, Sampling};
use foveate_vision::images::Patches;
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::nn::GradSink;
use foveate_vision::pack::PackBuilder;
use foveate_vision::processor::Prompt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Bench {
    model: VisionLanguageModel,
    inputs: HashMap<String, Tensor>,
    sink: GradSink,
}

impl Bench {
    fn rows(&self, name: &str) -> Outcome<Vec<Vec<u32>>> {
        let rows = self.inputs[name].to_dtype(DType::I64)?.to_vec2::<i64>()?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(|id| id as u32).collect()).collect())
    }

    fn prompts(&self, work: &str) -> Outcome<Vec<Arc<Prompt>>> {
        let grids = self.rows(&format!("{work}.image_grid_thw_i64"))?;
        let (pixels, vision) = (&self.inputs[&format!("{work}.pixel_values")], &self.model.config().vision);
        let (mut first, mut prompts) = (0, Vec::new());
        for (input_ids, grid) in self.rows(&format!("{work}.prompt_ids_i64"))?.into_iter().zip(grids) {
            let grid = [grid[0] as usize, grid[1] as usize, grid[2] as usize];
            let count = grid.iter().product();
            let values = pixels.narrow(0, first, count)?.flatten_all()?.to_vec1::<f32>()?;
            let (frames, side) = (vision.temporal_patch_size, vision.patch_size);
            let image = Patches::from_pixel_values(&values, grid, vision.channels, frames, side)?;
            prompts.push(Arc::new(Prompt { input_ids, images: vec![Arc::new(image)] }));
            first += count;
        }
        Ok(prompts)
    }

    fn train(&self, work: &str) -> Outcome<(f64, f64, f64)> {
        let (prompts, completions) = (self.prompts(work)?, self.rows(&format!("{work}.completion_ids_i64"))?);
        let start = Instant::now();
        let mut builder = PackBuilder::new();
        for (index, completion) in completions.iter().enumerate() {
            if index < prompts.len() {
                builder.root(&prompts[index])?;
            }
            let root = index.min(prompts.len() - 1);
            builder.completion(root, completion)?;
        }
        let scored = self.model.token_logprobs(&builder.build()?, 1.0, Some(&self.sink))?;
        let loss = scored.logp_n.mean_all()?.neg()?;
        let forward = start.elapsed();
        self.model.backward(&loss, &self.sink)?;
        let total = start.elapsed().as_secs_f64() * 1e3;
        if std::env::var_os("PARTS").is_some() {
            eprintln!("forward {:.1} of {total:.1} ms", forward.as_secs_f64() * 1e3);
        }
        let mut square = 0.0;
        for parameter in self.model.parameters() {
            let sum = |grad: &[f32]| grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            square += self.sink.read(parameter.var(), sum).ok_or("a parameter without a gradient")?;
        }
        self.sink.clear();
        Ok((total, f64::from(loss.to_scalar::<f32>()?), square.sqrt()))
    }

    fn decode(&self) -> Outcome<(f64, f64, f64)> {
        let requests: Vec<Request> =
            self.prompts("a")?.into_iter().map(|prompt| Request { prompt, n: 1, seed: 0 }).collect();
        let suppressed = self.inputs["d.suppressed_i64"].to_vec1::<i64>()?;
        let sampling = Sampling {
            max_tokens: 64,
            temperature: 0.0,
            forbidden_ids: suppressed.iter().map(|&id| id as u32).collect(),
            ..Sampling::default()
        };
        let start = Instant::now();
        let begun = Conversations::begin(&self.model, &requests)?;
        let prefilled = Instant::now();
        let done = begun.close(&sampling)?;
        let (decode, total) = (prefilled.elapsed(), start.elapsed());
        let logps: Vec<f32> = done.iter().flatten().flat_map(|rollout| rollout.logp_raw.clone()).collect();
        let mean = logps.iter().map(|&logp| f64::from(logp)).sum::<f64>() / logps.len() as f64;
        Ok((decode.as_secs_f64() * 1e3, mean, total.as_secs_f64() * 1e3))
    }
}

fn peak_rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(checkpoint), Some(inputs)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bench_model CHECKPOINT INPUTS".into());
    };
    let bench = Bench {
        model: VisionLanguageModel::load(Path::new(&checkpoint))?,
        inputs: candle_core::safetensors::load(inputs, &Device::Cpu)?,
        sink: GradSink::default(),
    };
    for line in std::io::stdin().lock().lines() {
        let work = line?;
        // On a thread of the pool: handing out work then needs no wake-up of the caller.
        let (x, y, z) = rayon::scope(|_| match work.trim() {
            "d" => bench.decode(),
            work => bench.train(work),
        })?;
        println!("{x:.1} {y:.6} {z:.6} {}", peak_rss_mib());
        std::io::stdout().flush()?;
    }
    Ok(())
}
