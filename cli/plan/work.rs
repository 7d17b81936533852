//! The time of a step on GPUs, from what it computes, reads and sends.
//!
//! Nothing of it was measured: each part is work over what the kind of GPU can do, times the shares below. Shapes as in
//! [`super::memory`]; a product of T rows with a matrix of N numbers is 2 T N operations, its gradients twice that
//! (once where the matrix is frozen).

use std::str::FromStr;

use foveate_trainer::recipe::Recipe;

use super::counts::Counts;
use super::kinds::{Kind, MACHINE, NETWORK};
use super::layout::Layout;
use super::memory::needs_reference;
use super::shape::Shape;
use crate::failure::Outcome;

/// What of the hardware's figures is reached.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Of its arithmetic, in passes over whole rows. EasyR1's updates of these models reach 8 to 26 %.
    pub arithmetic: f64,
    /// Of its bandwidth, where each token waits for all weights, and of its links.
    pub bandwidth: f64,
}

impl FromStr for Shares {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let both = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let sound = |share: f64| share > 0.0 && share <= 1.0;
        match both {
            Some((arithmetic, bandwidth)) if sound(arithmetic) && sound(bandwidth) => {
                Ok(Self { arithmetic, bandwidth })
            }
            _ => Err("should be two numbers over 0 and at most 1, as in 0.2,0.5".into()),
        }
    }
}

/// Seconds of a step by what they are spent on.
#[derive(Debug)]
pub struct Times {
    /// In the order in which they are spent.
    pub rows: Vec<(&'static str, f64)>,
    /// Seconds.
    pub step: f64,
}

impl Times {
    /// Sums, for answers of `answer` tokens on the mean; `None` where no kind of GPU is named.
    pub fn of(
        recipe: &Recipe,
        shape: &Shape,
        layout: &Layout,
        answer: usize,
        shares: Shares,
    ) -> Outcome<Option<Self>> {
        let Some(kind) = layout.kind else { return Ok(None) };
        let counts = Counts::of(recipe, shape, layout, answer);
        let work = Work::of(&counts, recipe, shape)?;
        let arithmetic = kind.bf16 * shares.arithmetic;
        let bytes = kind.bandwidth * shares.bandwidth;
        let rows = vec![
            ("answers: the prompts' pass", work.prefill / arithmetic),
            ("answers: decoding", decoding(&counts, shape, layout, arithmetic, bytes)),
            ("update: passes forward and backward", work.update / arithmetic),
            ("update: sums over GPUs", sent(recipe, shape, layout, kind) / shares.bandwidth),
            ("update: AdamW", stepped(recipe, shape, layout) / bytes),
        ];
        let step = rows.iter().map(|(_, seconds)| seconds).sum();
        Ok(Some(Self { rows, step }))
    }

    /// What takes longest.
    pub fn longest(&self) -> &'static str {
        let most = self.rows.iter().max_by(|(_, a), (_, b)| a.total_cmp(b));
        most.map_or("nothing", |(name, _)| name)
    }
}

/// Operations of one rank.
struct Work {
    prefill: f64,
    update: f64,
}

impl Work {
    fn of(counts: &Counts, recipe: &Recipe, shape: &Shape) -> Outcome<Self> {
        let (sees, reads) = (tower(counts, shape), prompts(counts, shape));
        let says = answers(counts, shape);
        let (text, vision) = (reads + says, sees);
        // Backward: gradients of inputs as much as the pass, of weights as much again where they are trained.
        let trained = if shape.trains_text(recipe) { 2.0 } else { 1.0 };
        let seen = if shape.trains_vision(recipe) { 2.0 } else { 0.0 };
        let again = if recipe.model.checkpointing { 1.0 } else { 0.0 };
        let backward = text * (trained + again) + vision * if seen > 0.0 { seen + again } else { 0.0 };
        let forward = text + vision;
        let views = 1.0 + recipe.view.len() as f64;
        let reference = if needs_reference(recipe)? { 1.0 } else { 0.0 };
        // Log-probabilities of the sampler are computed anew for all mini-batches but the first.
        let old = 1.0 - 1.0 / recipe.optim.updates as f64;
        let update = views * (forward + backward) + (reference + old) * forward;
        Ok(Self { prefill: sees + reads, update })
    }
}

fn tower(counts: &Counts, shape: &Shape) -> f64 {
    let v = &shape.config.vision;
    let whole = if v.window_size.is_some() { v.full_attention_blocks.len() } else { v.depth };
    let window = v.window_size.map_or(0, |side| (side / v.patch_size).pow(2)) as f64;
    let seen = whole as f64 * shape.patches as f64 + (v.depth - whole) as f64 * window;
    let merged = shape.merger_weights as f64 / (v.merge_size * v.merge_size) as f64;
    counts.patches * (2.0 * (shape.tower_weights as f64 + merged) + 4.0 * v.hidden_size as f64 * seen)
}

/// Attention of a token to `seen` others, in all layers.
fn attention(shape: &Shape, seen: f64) -> f64 {
    let t = &shape.config.text;
    4.0 * (t.heads * t.head_dim * t.layers) as f64 * seen
}

fn prompts(counts: &Counts, shape: &Shape) -> f64 {
    let half = shape.prompt_tokens() as f64 / 2.0;
    counts.prompt_tokens * (2.0 * shape.text_weights as f64 + attention(shape, half))
}

fn answers(counts: &Counts, shape: &Shape) -> f64 {
    let seen = shape.prompt_tokens() as f64 + counts.answer / 2.0;
    let each = 2.0 * (shape.text_weights + shape.head()) as f64 + attention(shape, seen);
    counts.answers * counts.answer * each
}

/// Each step of decoding reads all weights and caches, or computes longer than that.
fn decoding(counts: &Counts, shape: &Shape, layout: &Layout, arithmetic: f64, bytes: f64) -> f64 {
    let t = &shape.config.text;
    let cached = 2.0 * (t.kv_heads * t.head_dim * t.layers) as f64 * layout.number;
    let seen = shape.prompt_tokens() as f64 + counts.answer / 2.0;
    let read = (shape.text_weights + shape.head()) as f64 * layout.number + counts.answers * seen * cached;
    let computed = answers(counts, shape) / counts.answer.max(1.0);
    counts.answer * (read / bytes).max(computed / arithmetic)
}

/// Seconds in which gradients are summed and weights handed out, at the full speed of the links.
fn sent(recipe: &Recipe, shape: &Shape, layout: &Layout, kind: &Kind) -> f64 {
    let (ranks, trained) = (layout.ranks as f64, shape.trained(recipe) as f64);
    let link = if layout.ranks > MACHINE { kind.link.min(NETWORK) } else { kind.link };
    let ring = (ranks - 1.0) / ranks;
    // Gradients in f32 travel twice round the ring; sharded, once, and the new weights in bf16 once.
    let each = match layout.zero {
        0 => 8.0,
        _ => 4.0 + layout.number,
    };
    recipe.optim.updates as f64 * ring * trained * each / link
}

/// Bytes that AdamW reads and writes: gradient, moments, masters, weights.
fn stepped(recipe: &Recipe, shape: &Shape, layout: &Layout) -> f64 {
    let each = 4.0 + 16.0 + 2.0 * layout.master + layout.number;
    recipe.optim.updates as f64 * layout.shard(shape.trained(recipe) as f64 * each, 1)
}
