//! Conversations with a closer look: against transformers (tests/golden/turns/), against scoring, and whole
//! runs.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::Tensor;
use foveate_datasets::{Grade, ImageRef, Sample, Split, Task};
use foveate_trainer::data::Source;
use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Silent, Stage};
use foveate_trainer::policy::LocalPolicy;
use foveate_trainer::recipe::{Recipe, Trained, TurnsRecipe, from_file};
use foveate_trainer::reward::Scored;
use foveate_trainer::rollout::{Group, Rollout};
use foveate_trainer::turns::{Episode, Opened, Turns, hull};
use foveate_trainer::{Trainer, micro};
use foveate_vision::config::Family;
use foveate_vision::generate::{Generated, Sampling, Stop};
use foveate_vision::grounding::{Frame, Script};
use foveate_vision::pack::Pack;
use foveate_vision::tiny::{self, TinySpec, WORDS};
use image::RgbImage;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

mod golden;
mod runs;
mod sampled;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| number(id) as u32).collect()
}

/// `synth_rgb` of tests/golden/images/synth.py.
fn synth_rgb(height: u32, width: u32, seed: u32) -> RgbImage {
    let mut picture = RgbImage::new(width, height);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        for (c, value) in (0_u32..).zip(&mut pixel.0) {
            let ramp = (x * 255 / (width - 1).max(1) * (c + 1) + y * 255 / (height - 1).max(1) * (3 - c)) / 4;
            let check = if ((x >> 3) ^ (y >> 3) ^ c) & 1 == 1 { 96 } else { 0 };
            let places = [(x, 374_761_393), (y, 668_265_263), (c, 2_246_822_519), (seed, 3_266_489_917)];
            let mut hash = places.iter().fold(0u32, |h, (v, by)| h.wrapping_add(v.wrapping_mul(*by)));
            hash ^= hash >> 13;
            hash = hash.wrapping_mul(1_274_126_177);
            hash ^= hash >> 16;
            *value = (ramp + check + if hash & 7 == 0 { hash >> 24 } else { 0 }) as u8;
        }
    }
    picture
}

/// FNV-1a, as the golden files write it.
fn fnv1a(bytes: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// One question about pictures of given sizes.
#[derive(Debug)]
struct Pictures {
    question: String,
    asked: String,
    images: Vec<Arc<RgbImage>>,
}

impl Task for Pictures {
    fn name(&self) -> &'static str {
        "pictures"
    }
    fn version(&self) -> u32 {
        1
    }
    fn len(&self, _: Split) -> usize {
        self.images.len()
    }
    fn sample(&self, _: Split, index: usize) -> foveate_datasets::Result<Sample> {
        let (id, problem, answer) = (format!("p{index}"), self.question.clone(), "A".into());
        let images = vec![ImageRef::Rgb(self.images[index].clone())];
        Ok(Sample { id, problem, answer, choices: vec![], images, meta: serde_json::Map::new() })
    }
    fn prompt(&self, _: &Sample) -> String {
        self.asked.clone()
    }
    fn grade(&self, _: &Sample, response: &str) -> Grade {
        Grade::of(response.contains("\\boxed{A}"), response)
    }
}

fn source(golden: &Value, images: Vec<Arc<RgbImage>>) -> Source {
    let text = |key: &str| golden[key].as_str().unwrap().to_string();
    let task = Pictures { question: text("question"), asked: text("task"), images };
    Source::of(Box::new(task), Split::Train, None, 1).unwrap()
}

/// The script of the golden conversations, with the checkpoint's frame.
fn turns(golden: &Value, frame: &Value, policy: &LocalPolicy, max: usize) -> Turns {
    let said = |key: &str| -> &'static str { golden["script"][key].as_str().unwrap().to_string().leak() };
    let mut turns = Turns::new(&TurnsRecipe { max, ..TurnsRecipe::default() }, policy).unwrap();
    turns.protocol.script = Script {
        name: "golden",
        system: said("system"),
        first: said("first"),
        shown: said("shown"),
        again: said("again"),
        last: said("last"),
        more: " Where else?",
        full_stop: true,
    };
    let wanted: Frame = serde_json::from_value(frame.clone()).unwrap();
    assert_eq!(turns.protocol.frame, wanted);
    turns
}

fn said(ids: Vec<u32>, stop: Stop) -> Generated {
    let logp: Vec<f32> = (0..ids.len()).map(|at| -0.5 - at as f32).collect();
    let (logp_raw, logp_tempered, logp_sampled) = (logp.clone(), logp.clone(), logp);
    Generated { ids, logp_raw, logp_tempered, logp_sampled, stop }
}

fn rollout(episode: Episode, untrained: usize) -> Rollout {
    let Episode { ids, logp_tempered, heard, text, finished } = episode;
    let (grade, scored) = (Grade::of(true, text.clone()), Scored { total: 1.0, parts: vec![] });
    Rollout { ids, text, logp_tempered, finished, heard, untrained, grade, scored }
}

fn group(opened: &Opened<'_>, rollouts: Vec<Rollout>) -> Group {
    Group { sample: opened.sample.clone(), prompt: opened.prompt.clone(), views: vec![], rollouts }
}

fn pack(groups: &[Group]) -> micro::Micro {
    let credits: Vec<Vec<f64>> = groups.iter().map(|group| vec![1.0; group.rollouts.len()]).collect();
    let credited: Vec<_> = groups.iter().zip(&credits).map(|(g, c)| (g, &c[..])).collect();
    micro::pack(&credited, 1 << 20, false).unwrap().remove(0)
}

fn logp(policy: &LocalPolicy, pack: &Pack, temperature: f32) -> Vec<f32> {
    let scored = policy.model.token_logprobs(pack, temperature, None).unwrap();
    Tensor::to_vec1(&scored.logp_n).unwrap()
}

fn closest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
