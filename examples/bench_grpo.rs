//! `bench_grpo CHECKPOINT ROWS [--prompts P --group G --tokens T --steps S --warmup W --threads N --beta B]`:
//! our side of `benches/peers/grpo_step.py`, which says what a step is made of. Prints one JSON object.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use foveate_trainer::optim::{AdamW, AdamWConfig, Slot};
use foveate_vision::generate::{Request, Sampling, generate};
use foveate_vision::images::{self, Limits};
use foveate_vision::models::VisionLanguageModel;
use foveate_vision::nn::GradSink;
use foveate_vision::pack::PackBuilder;
use foveate_vision::processor::Processor;
use foveate_vision::text::{Content, Message};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Settings(BTreeMap<String, String>);

impl Settings {
    fn get(&self, name: &str, default: usize) -> Outcome<usize> {
        Ok(self.0.get(name).map_or(Ok(default), |value| value.parse())?)
    }
}

struct Bench {
    model: VisionLanguageModel,
    reference: Option<VisionLanguageModel>,
    beta: f64,
    processor: Processor,
    optim: AdamW,
    sink: GradSink,
    group: usize,
    sampling: Sampling,
}

/// Seconds of each part, in order.
type Parts = BTreeMap<&'static str, f64>;

impl Bench {
    fn step(&mut self, rows: &[Value], seed: u64) -> Outcome<(f64, Parts)> {
        let (mut parts, mut clock) = (Parts::new(), Instant::now());
        let mut lap = |name, parts: &mut Parts| {
            parts.insert(name, clock.elapsed().as_secs_f64());
            clock = Instant::now();
        };
        let mut requests = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_string();
            let image = images::open(Path::new(&text("image")), &Limits::default())?;
            let patches = Arc::new(self.processor.images.patches(&image)?);
            let content = vec![Content::Image(None), Content::Text(text("question"))];
            let message = Message { role: "user".into(), content };
            let prompt = Arc::new(self.processor.prompt(&[message], &[patches])?);
            requests.push(Request { prompt, n: self.group, seed: seed + index as u64 });
        }
        lap("process_images_tokens", &mut parts);
        let rollouts = generate(&self.model, &requests, &self.sampling)?;
        lap("generate", &mut parts);
        let (mut builder, mut credits, mut rewards) = (PackBuilder::new(), Vec::new(), Vec::new());
        for ((request, group), row) in requests.iter().zip(&rollouts).zip(rows) {
            let root = builder.root(&request.prompt)?;
            let mut scores = Vec::new();
            for rollout in group {
                let text = self.processor.tokenizer.decode(&rollout.ids, true)?;
                scores.push(reward(&text, row["answer"].as_str().unwrap_or_default()));
                builder.completion(root, &rollout.ids)?;
            }
            let n = scores.len() as f64;
            let mean = scores.iter().sum::<f64>() / n;
            let std = (scores.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            for (score, rollout) in scores.iter().zip(group) {
                credits.extend(vec![((score - mean) / (std + 1e-4)) as f32; rollout.ids.len()]);
            }
            rewards.extend(scores);
        }
        let pack = builder.build()?;
        lap("reward_advantage", &mut parts);
        let tokens = credits.len();
        let credit_n = Tensor::from_vec(credits, tokens, &Device::Cpu)?;
        let logp_n = self.model.token_logprobs(&pack, 1.0, Some(&self.sink))?.logp_n;
        let ratio_n = (&logp_n - logp_n.detach())?.exp()?;
        let mut loss_n = (ratio_n * credit_n)?.neg()?;
        if let Some(reference) = &self.reference {
            let gap_n = (reference.token_logprobs(&pack, 1.0, None)?.logp_n - &logp_n)?;
            let k3_n = ((gap_n.exp()? - &gap_n)? - 1.0)?;
            loss_n = (loss_n + (k3_n * self.beta)?)?;
        }
        let loss = loss_n.mean_all()?;
        lap("forward", &mut parts);
        self.model.backward(&loss, &self.sink)?;
        lap("backward", &mut parts);
        self.optim.step(1e-6, &self.sink)?;
        self.sink.clear();
        lap("optimizer", &mut parts);
        Ok((rewards.iter().sum::<f64>() / rewards.len() as f64, parts))
    }
}

/// 1 if the first word is the answer, and a little for being near 12 characters.
fn reward(text: &str, answer: &str) -> f64 {
    let lower = text.to_lowercase();
    let letters = lower.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let word = letters.split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
    let near = 0.1 / (1.0 + (text.chars().count() as f64 - 12.0).abs());
    near + if !word.is_empty() && word == answer { 1.0 } else { 0.0 }
}

fn spread(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    json!({"min": values.first(), "median": values.get(values.len() / 2), "max": values.last()})
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    fields.iter().sum::<f64>() / 100.0
}

fn peak_rss_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn run(checkpoint: &str, rows: &str, settings: &Settings) -> Outcome<()> {
    let (prompts, group) = (settings.get("prompts", 8)?, settings.get("group", 8)?);
    let (tokens, steps, warmup) =
        (settings.get("tokens", 16)?, settings.get("steps", 8)?, settings.get("warmup", 2)?);
    let beta: f64 = settings.0.get("beta").map_or(Ok(0.0), |beta| beta.parse())?;
    let (dir, model) = (Path::new(checkpoint), VisionLanguageModel::load(Path::new(checkpoint))?);
    let processor = Processor::from_dir(dir)?;
    let slots: Vec<Slot> = model.parameters().iter().map(Slot::from).collect();
    let file: Value = serde_json::from_slice(&std::fs::read(dir.join("tokenizer.json"))?)?;
    let added = file["added_tokens"].as_array().into_iter().flatten().filter_map(|t| t["id"].as_u64());
    let first_added = added.min().unwrap_or(0) as usize;
    let mut bench = Bench {
        reference: if beta > 0.0 { Some(VisionLanguageModel::load(dir)?) } else { None },
        beta,
        processor,
        optim: AdamW::new(slots, AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() })?,
        sink: GradSink::default(),
        group,
        // No added token and no row beyond the tokenizer: every rollout runs to its full length.
        sampling: Sampling { max_tokens: tokens, tokenizer_size: first_added, ..Sampling::default() },
        model,
    };
    let text = std::fs::read_to_string(rows)?;
    let rows: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (mut wall, mut cpu, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (step, rows) in rows.chunks_exact(prompts).take(warmup + steps).enumerate() {
        let (start, used) = (Instant::now(), cpu_seconds());
        let (reward, laps) = bench.step(rows, 1000 * step as u64)?;
        if step >= warmup {
            wall.push(start.elapsed().as_secs_f64());
            cpu.push(cpu_seconds() - used);
            rewards.push(reward);
            laps.into_iter().for_each(|(name, s)| parts.entry(name).or_default().push(s));
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let parts: BTreeMap<&str, f64> = parts.into_iter().map(|(name, s)| (name, median(s))).collect();
    println!(
        "{}",
        json!({
            "side": "ours", "framework": "foveate", "prompts": prompts, "group": group, "tokens": tokens, "beta": beta,
            "checkpoint": dir.file_name().map(|name| name.to_string_lossy()), "steps": wall.len(),
            "threads": rayon::current_num_threads(), "s_per_step": spread(wall), "cpu_s_per_step": spread(cpu),
            "parts_median_s": parts, "peak_rss_mib": peak_rss_mib(),
            "mean_reward": rewards.iter().sum::<f64>() / rewards.len() as f64,
        })
    );
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, rows, rest @ ..] = &arguments[..] else {
        return Err("usage: bench_grpo CHECKPOINT ROWS [--prompts P] ...".into());
    };
    let pairs = rest.chunks_exact(2).map(|pair| (pair[0].trim_start_matches('-').into(), pair[1].clone()));
    let settings = Settings(pairs.collect());
    rayon::ThreadPoolBuilder::new().num_threads(settings.get("threads", 0)?).build_global()?;
    rayon::scope(|_| run(checkpoint, rows, &settings))
}
