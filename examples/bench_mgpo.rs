//! `bench_mgpo OUT [SEEDS STEPS WARMUP]`: what learning to look is worth. From one warm start, GRPO that
//! trains both turns against GRPO that trains the answer alone; same seeds, same budget. One JSON line a
//! point. The task is drawn here: four small glyphs in a large picture, whose colours show when it is shrunk
//! and whose shapes do not. The warm start is told the right quarter only seven times in ten.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use foveate_datasets::{Grade, ImageRef, Outcome, Sample, Split, Task, grade};
use foveate_objectives::{Named, Objective, ObjectiveSpec};
use foveate_ranks::One;
use foveate_trainer::ask::Asker;
use foveate_trainer::data::Source;
use foveate_trainer::engine::Local;
use foveate_trainer::log::Metrics;
use foveate_trainer::micro;
use foveate_trainer::optim::{AdamW, AdamWConfig, Schedule, ScheduleKind, Slot};
use foveate_trainer::policy::LocalPolicy;
use foveate_trainer::recipe::{ModelRecipe, RewardSpec, RolloutRecipe, Trained, TurnsRecipe};
use foveate_trainer::reward::{Rewards, Scored};
use foveate_trainer::rollout::{Group, Roller, Rollout};
use foveate_trainer::turns::{Turns, measure};
use foveate_trainer::update::{self, Updater};
use foveate_trainer::{seeds, warmup};
use foveate_vision::generate::{Generated, Sampling, Stop};
use foveate_vision::nn::GradSink;
use foveate_vision::tiny::{self, TinySpec};
use image::{Rgb, RgbImage};
use serde_json::{Map, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SIDE: u32 = 128;
const RADIUS: f32 = 14.0;
const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [220, 40, 36]),
    ("green", [36, 170, 60]),
    ("blue", [44, 84, 225]),
    ("yellow", [240, 212, 44]),
    ("purple", [152, 60, 190]),
    ("white", [245, 245, 245]),
];
const SHAPES: [&str; 4] = ["circle", "square", "triangle", "cross"];

/// Four glyphs, one in each quarter, of different colours; which shape has a colour?
#[derive(Debug)]
struct Cells(u64);

impl Cells {
    fn glyph(image: &mut RgbImage, centre: (f32, f32), colour: [u8; 3], shape: usize) {
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (x, y) = ((x as f32 - centre.0) / RADIUS, (y as f32 - centre.1) / RADIUS);
            let inside = match shape {
                0 => x * x + y * y <= 1.0,
                1 => x.abs().max(y.abs()) <= 0.9,
                2 => y <= 0.85 && x.abs() <= (y + 0.95) * 0.55,
                _ => x.abs().max(y.abs()) <= 1.0 && x.abs().min(y.abs()) <= 0.3,
            };
            if inside {
                *pixel = Rgb(colour);
            }
        }
    }
}

impl Task for Cells {
    fn name(&self) -> &'static str {
        "cells"
    }
    fn version(&self) -> u32 {
        1
    }
    fn len(&self, split: Split) -> usize {
        if split == Split::Train { 1 << 18 } else { 300 }
    }
    fn image_of(&self, _: Split, index: usize) -> usize {
        index / 4
    }
    fn sample(&self, split: Split, index: usize) -> foveate_datasets::Result<Sample> {
        let draw = |k: u64| {
            let purpose = seeds::Purpose::Evaluation;
            seeds::seed(self.0, purpose, split as u64, index as u64 / 4, k)
        };
        let grey = 60 + (draw(0) % 60) as u8;
        let mut image = RgbImage::from_pixel(SIDE, SIDE, Rgb([grey; 3]));
        let colours = seeds::permutation(draw(1), COLOURS.len());
        let (mut objects, half) = (vec![], SIDE / 2);
        for (cell, &colour) in colours.iter().take(4).enumerate() {
            let shape = (draw(10 + cell as u64) % 4) as usize;
            let place = |axis: u64| (draw(20 + 2 * cell as u64 + axis) % 34) as f32 + 15.0;
            let corner = ((cell as u32 % 2 * half) as f32, (cell as u32 / 2 * half) as f32);
            Self::glyph(&mut image, (corner.0 + place(0), corner.1 + place(1)), COLOURS[colour].1, shape);
            let quarter = [cell as u32 % 2 * half, cell as u32 / 2 * half, half, half];
            objects.push((COLOURS[colour].0, SHAPES[shape], quarter));
        }
        let (colour, shape, quarter) = objects[index % 4];
        let meta = Map::from_iter([("targets".into(), json!([quarter]))]);
        let (problem, images) = (format!("What shape is {colour}?"), vec![ImageRef::Rgb(Arc::new(image))]);
        Ok(Sample { id: format!("{index}"), problem, answer: shape.into(), choices: vec![], images, meta })
    }
    fn grade(&self, sample: &Sample, response: &str) -> Grade {
        grade::exact::closed(&sample.answer, |word| SHAPES.contains(&word), response)
    }
}

fn source(split: Split) -> Done<Source> {
    Ok(Source::of(Box::new(Cells(11)), split, None, 1)?)
}

struct Run {
    policy: LocalPolicy,
    turns: Turns,
    optim: AdamW,
    sink: GradSink,
}

impl Run {
    fn load(dir: &Path, train: Trained) -> Done<Self> {
        let mut policy = LocalPolicy::load(dir)?;
        policy.train(&ModelRecipe::default())?;
        let script = "brief".into();
        let turns = TurnsRecipe { script, train, min_side: Some(4.0), ..TurnsRecipe::default() };
        let turns = Turns::new(&turns, &policy)?;
        let config = AdamWConfig { weight_decay: 0.0, clip_norm: Some(1.0), ..AdamWConfig::default() };
        let optim = AdamW::new(policy.model.parameters().iter().map(Slot::from).collect(), config)?;
        Ok(Self { policy, turns, optim, sink: GradSink::default() })
    }

    fn update(&mut self, groups: &[Group], credits: &[Vec<f64>], objective: &Objective, lr: f64) -> Done<()> {
        let credited: Vec<_> =
            groups.iter().zip(credits).map(|(group, credit)| (group, &credit[..])).collect();
        let micros = micro::pack(&credited, 16_384, false)?;
        let (model, sink, temperature) = (&self.policy.model, &self.sink, 1.0);
        let updater = Updater {
            model,
            reference: None,
            objective,
            temperature,
            sink,
            picked: None,
            lean: false,
            reducer: None,
        };
        let (finite, mut metrics) = updater.gradients(&micros)?;
        update::apply(finite, &mut self.optim, sink, lr, &mut metrics)?;
        Ok(())
    }

    /// Given conversations about 32 pictures; in three of ten a quarter is drawn.
    fn taught(&self, source: &Source, step: u64) -> Done<Vec<Group>> {
        let indices: Vec<usize> = (0..128).map(|k| (step as usize * 128 + k) % source.len()).collect();
        let opened = self.turns.open(&self.policy, source, &indices, |image, _| image.clone())?;
        let groups = opened.iter().zip(&indices).map(|(opened, &index)| {
            let draw = |k| seeds::seed(5, seeds::Purpose::WarmUp, step, index as u64, k);
            let (quarter, told) = (draw(1) % 4, draw(0) % 10 < 7);
            let right = self.turns.given(&self.policy, opened)?;
            let episode = match told {
                true => right,
                false => {
                    let (x, y) = (quarter % 2 * 8, quarter / 2 * 8);
                    let item = json!([{"bbox_2d": [x, y, x + 8, y + 8], "label": "box"}]);
                    let reply = |text: &str| -> Done<Generated> {
                        let mut ids = self.policy.processor.tokenizer.encode(text)?;
                        ids.extend(self.policy.generation.eos_token_ids.first());
                        let none = Vec::new;
                        let (logp_raw, logp_tempered, logp_sampled) = (none(), vec![0.0; ids.len()], none());
                        Ok(Generated { ids, logp_raw, logp_tempered, logp_sampled, stop: Stop::Stop })
                    };
                    let replies = [reply(&format!("```json\n{item}\n```"))?, reply(&opened.sample.answer)?];
                    self.turns.follow(&self.policy, opened, &replies)?
                }
            };
            let (grade, scored) = (Grade::of(true, ""), Scored { total: 1.0, parts: vec![] });
            let rollout = Rollout {
                ids: episode.ids,
                text: episode.text,
                logp_tempered: vec![],
                finished: true,
                heard: episode.heard,
                untrained: 0,
                grade,
                scored,
            };
            let (sample, prompt) = (opened.sample.clone(), opened.prompt.clone());
            Ok(Group { sample, prompt, views: vec![], rollouts: vec![rollout] })
        });
        groups.collect()
    }

    /// Accuracy and boxes on the test split: greedy, or sampled at temperature 1.
    fn measured(&self, temperature: f32) -> Done<Metrics> {
        let test = source(Split::Test)?;
        let sampling = Sampling { temperature, ..self.policy.greedy(64) };
        let (policy, turns) = (&self.policy, Some(&self.turns));
        let (engine, source, sampling, stop) = (&Local, &test, &sampling, &AtomicBool::new(false));
        let asker = Asker { policy, engine, source, turns, sampling, stop };
        let (mut metrics, mut right, mut all) = (Metrics::default(), 0, vec![]);
        for batch in (0..test.len()).collect::<Vec<_>>().chunks(100) {
            let seeds: Vec<u64> = batch.iter().map(|&k| 77 + k as u64).collect();
            all.extend(asker.ask(batch, (1, &seeds), |image, _| image.clone())?);
        }
        for (sample, _, episodes) in &all {
            right += usize::from(test.task().grade(sample, &episodes[0].text).outcome == Outcome::Right);
        }
        measure(&mut metrics, "", all.iter().map(|(sample, _, e)| (sample, &e[0].heard[..])));
        metrics.put("accuracy", right as f64 / all.len() as f64);
        Ok(metrics)
    }
}

fn say(out: &mut std::fs::File, arm: &str, seed: u64, step: u64, run: &Run) -> Done<()> {
    for (kind, temperature) in [("greedy", 0.0), ("sampled", 1.0)] {
        let m = run.measured(temperature)?;
        let of = |name: &str| m.get(name).unwrap_or(f64::NAN);
        let line = json!({"arm": arm, "seed": seed, "step": step, "kind": kind, "accuracy": of("accuracy"),
                          "hit": of("boxes/hit"), "valid": of("boxes/valid"), "area": of("boxes/area")});
        writeln!(out, "{line}")?;
        println!("{line}");
    }
    Ok(())
}

/// The warm start, made once.
fn warm(out: &Path, log: &mut std::fs::File, steps: u64) -> Done<PathBuf> {
    let (start, warm) = (out.join("start"), out.join("warm"));
    if warm.is_dir() {
        return Ok(warm);
    }
    let quick = TinySpec::quickstart();
    let spec = TinySpec {
        hidden: 64,
        layers: 3,
        intermediate: 128,
        vision_hidden: 64,
        vision_depth: 2,
        vision_intermediate: 128,
        patch_size: 4,
        min_pixels: 16 * 16,
        max_pixels: 16 * 16,
        seed: 3,
        ..quick
    };
    tiny::write(&start, &spec)?;
    let (mut run, train, objective) =
        (Run::load(&start, Trained::All)?, source(Split::Train)?, warmup::objective()?);
    let schedule = Schedule { kind: ScheduleKind::Cosine, peak: 3e-3, floor: 0.05, warmup: 20, total: steps };
    for step in 0..steps {
        let groups = run.taught(&train, step)?;
        let credits = vec![vec![1.0]; groups.len()];
        run.update(&groups, &credits, &objective, schedule.at(step))?;
        if step % 100 == 99 {
            say(log, "warm-up", 0, step + 1, &run)?;
        }
    }
    std::fs::create_dir_all(&warm)?;
    run.policy.save(&warm)?;
    Ok(warm)
}

fn reinforced(log: &mut std::fs::File, warm: &Path, train: Trained, seed: u64, steps: u64) -> Done<()> {
    let (mut run, data) = (Run::load(warm, train)?, source(Split::Train)?);
    let spec = ObjectiveSpec { clip_low: Some(0.2), clip_high: Some(0.2), ..ObjectiveSpec::default() };
    let objective = Objective::new(&spec, &[])?;
    let rewards = Rewards::new(&[RewardSpec { reward: Named::new("exact"), weight: 1.0 }])?;
    let recipe = RolloutRecipe { prompts: 24, group: 8, max_tokens: 64, ..RolloutRecipe::default() };
    let schedule = Schedule { kind: ScheduleKind::Linear, peak: 3e-4, floor: 0.3, warmup: 0, total: steps };
    let arm = if train == Trained::All { "both" } else { "answer" };
    for step in 0..steps {
        let (policy, source, rewards, turns) = (&run.policy, &data, &rewards, Some(&run.turns));
        let roller = Roller {
            policy,
            engine: &Local,
            source,
            images: &[],
            turns,
            rewards,
            views: &[],
            recipe: &recipe,
            run_seed: seed,
            stop: &AtomicBool::new(false),
            ranks: &One,
        };
        let groups = roller.groups(step)?.groups;
        let credits = objective.advantages(&groups.iter().map(Group::outcomes).collect::<Vec<_>>());
        run.update(&groups, &credits, &objective, schedule.at(step))?;
        if step + 1 == steps {
            say(log, arm, seed, step + 1, &run)?;
        }
    }
    Ok(())
}

fn main() -> Done<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let out = PathBuf::from(words.first().ok_or("usage: bench_mgpo OUT [SEEDS STEPS WARMUP]")?);
    let number = |at: usize, default: u64| words.get(at).map_or(Ok(default), |word| word.parse());
    let (seeds, steps, warmup) = (number(1, 5)?, number(2, 60)?, number(3, 400)?);
    std::fs::create_dir_all(&out)?;
    let mut log = std::fs::File::options().create(true).append(true).open(out.join("points.jsonl"))?;
    let warm = warm(&out, &mut log, warmup)?;
    say(&mut log, "warm", 0, 0, &Run::load(&warm, Trained::All)?)?;
    for seed in 1..=seeds {
        for train in [Trained::All, Trained::Last] {
            reinforced(&mut log, &warm, train, seed, steps)?;
        }
    }
    Ok(())
}
