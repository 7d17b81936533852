//! The memory of a step, summed from what the layers keep.
//!
//! T tokens of a pack, P patches of its images, d width, i inner width of the MLP. A layer keeps its input, and of
//! attention queries, keys, values, output and one number a head (with norms of heads the projection before them
//! too), of the MLP what stands before its nonlinearity. With checkpointing it keeps its input alone, and one layer
//! runs in full. The whole is what is held throughout, the larger of the two phases, and on the CPU, where freed
//! memory is kept for the next step, what a checkpoint takes on top.

use foveate_objectives::{Objective, Signal};
use foveate_trainer::recipe::Recipe;
use foveate_vision::config::VisionAct;

use super::counts::Counts;
use super::layout::Layout;
use super::shape::Shape;
use crate::failure::{Failure, Outcome};

/// Logits of one chunk of tokens, and their gradients.
const LOGITS: f64 = 2.0 * 16.0 * 1048576.0;

/// Allocators round sizes up and keep blocks that no request fits; what they held over what was asked for, in the
/// runs of docs/scale.md.
const SLACK: f64 = 1.1;

/// Keys and values of answers grow by doubling: half a doubling of room on the mean.
const GROWTH: f64 = 1.5;

/// Bytes by what they are for.
pub struct Estimate {
    /// In the order of the table.
    pub rows: Vec<(&'static str, f64)>,
    /// The most at a time.
    pub peak: f64,
}

impl Estimate {
    /// Sums.
    pub fn of(recipe: &Recipe, shape: &Shape, layout: &Layout) -> Outcome<Self> {
        let (trained, all) = (shape.trained(recipe) as f64, shape.parameters() as f64);
        let weights = all * layout.number;
        let counts = Counts::of(recipe, shape, layout, recipe.rollout.max_tokens);
        let images = counts.patches * shape.patch_dim as f64 * 4.0;
        let mut rows = vec![("program and libraries", layout.base), ("weights", weights)];
        if needs_reference(recipe)? {
            rows.push(("reference model, for a term", weights));
        }
        rows.push(("gradients of what is trained", layout.shard(trained * 4.0, 2)));
        rows.push(("AdamW's two moments", layout.shard(trained * 8.0, 1)));
        if layout.master > 0.0 {
            rows.push(("f32 masters", layout.shard(trained * layout.master, 1)));
        }
        rows.push(("images of a step as patches", images));
        let held: f64 = rows.iter().map(|(_, bytes)| bytes).sum();
        let rollout = SLACK * rollout(&counts, shape, layout);
        let pack = Counts::of_pack(recipe, shape, layout, recipe.rollout.max_tokens);
        let update = SLACK * update(&pack, recipe, shape, layout);
        rows.push(("while answering: caches and the prompts' pass", rollout));
        let name = match recipe.model.checkpointing {
            true => "while updating: activations, checkpointed",
            false => "while updating: activations",
        };
        rows.push((name, update));
        // The weights, then both moments twice: as bytes and as the file. On GPUs they lie in the machine's memory.
        let written = if layout.on_gpus() { 0.0 } else { weights.max(trained * 16.0) };
        if written > 0.0 {
            rows.push(("copies that a checkpoint is written from", written));
        }
        Ok(Self { rows, peak: held + rollout.max(update) + written })
    }
}

/// Whether a term compares with the model as it was.
pub fn needs_reference(recipe: &Recipe) -> Outcome<bool> {
    let objective = Objective::new(&recipe.objective, &recipe.term).map_err(Failure::input)?;
    let needs = objective.needs().into_iter().chain(objective.reward_needs());
    Ok(needs.into_iter().any(|signal| matches!(signal, Signal::Reference | Signal::ReferenceDivergence)))
}

/// Numbers that a token of the text model, or a patch of the tower, has in one layer.
struct PerRow {
    layers: f64,
    inputs: f64,
    saved: f64,
    working: f64,
    keys_values: f64,
}

impl PerRow {
    fn kept(&self, checkpointing: bool) -> f64 {
        let each = self.inputs + if checkpointing { 0.0 } else { self.saved };
        self.layers * each + self.working + if checkpointing { self.saved } else { 0.0 }
    }
}

fn text(shape: &Shape) -> PerRow {
    let t = &shape.config.text;
    let (queries, keys) = (t.heads * t.head_dim, t.kv_heads * t.head_dim);
    let (d, i) = (t.hidden_size as f64, t.intermediate_size as f64);
    let (queries, keys_values) = (queries as f64, 2.0 * keys as f64);
    let raw = if shape.head_norms { queries + keys_values } else { 0.0 };
    PerRow {
        layers: t.layers as f64,
        inputs: 2.0 * d,
        saved: 2.0 * queries + keys_values + t.heads as f64 + 2.0 * i + raw,
        working: 3.0 * d + 2.0 * queries + keys_values + 3.0 * i,
        keys_values,
    }
}

fn tower(shape: &Shape) -> PerRow {
    let v = &shape.config.vision;
    let fan = if v.act == VisionAct::SwiGlu { 2.0 } else { 1.0 };
    let (d, i) = (v.hidden_size as f64, v.intermediate_size as f64);
    PerRow {
        layers: v.depth as f64,
        inputs: 2.0 * d,
        saved: 4.0 * d + v.heads as f64 + fan * i,
        working: 7.0 * d + (fan + 1.0) * i,
        keys_values: 0.0,
    }
}

/// Numbers that the mergers keep of a patch: the tower's output, a block's input, inner rows and output.
fn merged(shape: &Shape) -> f64 {
    let v = &shape.config.vision;
    let area = (v.merge_size * v.merge_size) as f64;
    let each = 2.0 * v.hidden_size as f64 + 2.0 * v.out_hidden_size as f64 / area;
    each * (1 + v.deepstack_blocks.len()) as f64
}

/// The prompts in as many passes as there are threads, then all answers at their longest.
fn rollout(counts: &Counts, shape: &Shape, layout: &Layout) -> f64 {
    let (text, tower) = (text(shape), tower(shape));
    let at_once = if layout.on_gpus() { counts.prompts } else { rayon::current_num_threads() as f64 };
    let passes = at_once.min(counts.prompts) / counts.prompts.max(1.0);
    let rows = counts.prompts * shape.prompt_tokens() as f64;
    let pass = passes * (rows * text.working).max(counts.patches * tower.working);
    let grown = if layout.on_gpus() { 1.0 } else { GROWTH };
    let caches = (rows + grown * counts.answers * counts.answer) * text.layers * text.keys_values;
    let logits = counts.answers * shape.config.text.vocab_size as f64;
    (caches + pass) * layout.number + 2.0 * logits * 4.0
}

/// One pack with its views, forward and backward.
fn update(pack: &Counts, recipe: &Recipe, shape: &Shape, layout: &Layout) -> f64 {
    let checkpointing = recipe.model.checkpointing;
    let sees = match shape.trains_vision(recipe) {
        true => pack.patches * (tower(shape).kept(checkpointing) + merged(shape) + shape.patch_dim as f64),
        false => pack.patches * tower(shape).working,
    };
    // Beside the layers: embedded rows, their gradient, and what the head reads.
    let reads =
        pack.tokens() * (text(shape).kept(checkpointing) + 4.0 * shape.config.text.hidden_size as f64);
    let views = 1.0 + recipe.view.len() as f64;
    views * (reads + sees) * layout.number + LOGITS
}
