//! The memory of a step, summed from what the layers keep.
//!
//! T tokens of a pack, P tokens of all prompts of a step, V patches, d width, i inner width of the MLP.
//! Activations are counted as the packed layers save them: attention its input, queries, keys, values,
//! output and one number a head; the MLP its input and its two inner halves. With checkpointing only the
//! inputs, and one layer in full. The whole is what is held throughout and the larger of the two phases.

use foveate_objectives::{Objective, Signal};
use foveate_trainer::recipe::{PartName, Recipe};

use super::human;
use super::shape::Shape;
use crate::failure::{Failure, Outcome};

/// Logits and their gradients of one chunk of tokens.
const LOGITS: f64 = 2.0 * 16.0 * 1048576.0;

/// How numbers are stored and over how many devices a step is spread.
pub struct Layout {
    devices: usize,
    /// Bytes of a weight, and of a number in between.
    number: f64,
    /// Bytes of the f32 master of a trained weight, where the weight itself is smaller.
    master: f64,
}

impl Layout {
    /// One process in f32.
    pub const CPU: Self = Self { devices: 1, number: 4.0, master: 0.0 };

    /// One process a GPU, each with the whole model.
    pub fn gpus(count: u32) -> Self {
        Self { devices: count as usize, number: 2.0, master: 4.0 }
    }

    fn on_gpus(&self) -> bool {
        self.master > 0.0
    }

    /// In words.
    pub fn name(&self) -> String {
        match self.on_gpus() {
            false => "the CPU, f32".into(),
            true => {
                format!("{} GPU(s), bf16 with f32 masters (an outlook: runs are on the CPU)", self.devices)
            }
        }
    }

    /// Whose memory the table is about.
    pub fn each(&self) -> &'static str {
        if self.on_gpus() { " of each GPU" } else { "" }
    }
}

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
        let trained = shape.parameters_of(recipe.model.trained()) as f64;
        let weights = shape.parameters() as f64 * layout.number;
        let prompts = recipe.rollout.prompts.div_ceil(layout.devices) as f64;
        let images = prompts * (shape.patches * shape.patch_dim) as f64 * 4.0;
        let mut rows = vec![("weights", weights)];
        if needs_reference(recipe)? {
            rows.push(("reference model, for a term", weights));
        }
        rows.push(("gradients of what is trained", trained * 4.0));
        rows.push(("AdamW: two moments and masters", trained * (8.0 + layout.master)));
        rows.push(("images of a step as patches", images));
        let held: f64 = rows.iter().map(|(_, bytes)| bytes).sum();
        let (rollout, update) = (rollout(recipe, shape, layout), update(recipe, shape, layout));
        rows.push(("while answering: caches and the prompts' pass", rollout));
        let name = match recipe.model.checkpointing {
            true => "while updating: activations, checkpointed",
            false => "while updating: activations",
        };
        rows.push((name, update));
        Ok(Self { rows, peak: held + rollout.max(update) })
    }
}

fn needs_reference(recipe: &Recipe) -> Outcome<bool> {
    let objective = Objective::new(&recipe.objective, &recipe.term).map_err(Failure::input)?;
    Ok(objective.needs().contains(&Signal::Reference))
}

/// Numbers that a token of the text model, or a patch of the tower, has in one layer.
struct PerRow {
    layers: f64,
    inputs: f64,
    saved: f64,
    working: f64,
    keys_values: f64,
}

fn text(shape: &Shape) -> PerRow {
    let t = &shape.config.text;
    let (queries, keys) = (t.heads * t.head_dim, t.kv_heads * t.head_dim);
    let (d, i) = (t.hidden_size as f64, t.intermediate_size as f64);
    let (queries, keys_values) = (queries as f64, 2.0 * keys as f64);
    PerRow {
        layers: t.layers as f64,
        inputs: 2.0 * d,
        saved: 2.0 * queries + keys_values + t.heads as f64 + 2.0 * i,
        working: 3.0 * d + 2.0 * queries + keys_values + 3.0 * i,
        keys_values,
    }
}

fn tower(shape: &Shape) -> PerRow {
    let v = &shape.config.vision;
    let (d, i) = (v.hidden_size as f64, v.intermediate_size as f64);
    PerRow {
        layers: v.depth as f64,
        inputs: 2.0 * d,
        saved: 4.0 * d + v.heads as f64 + 2.0 * i,
        working: 7.0 * d + 3.0 * i,
        keys_values: 0.0,
    }
}

fn turns(recipe: &Recipe) -> usize {
    recipe.rollout.turns.as_ref().map_or(1, |turns| turns.max)
}

/// Tokens of an answer at most: its turns, and what it hears between them, an image like a prompt's each.
fn longest(recipe: &Recipe, shape: &Shape) -> usize {
    turns(recipe) * recipe.rollout.max_tokens + (turns(recipe) - 1) * shape.prompt_tokens()
}

/// All prompts of the step in one pass, then the answers at their longest.
fn rollout(recipe: &Recipe, shape: &Shape, layout: &Layout) -> f64 {
    let prompts = recipe.rollout.prompts.div_ceil(layout.devices) as f64;
    let answers = prompts * recipe.rollout.group as f64;
    let (rows, patches) = (prompts * shape.prompt_tokens() as f64, prompts * shape.patches as f64);
    let (text, tower) = (text(shape), tower(shape));
    let caches = (rows + answers * longest(recipe, shape) as f64) * text.layers * text.keys_values;
    let pass = (rows * text.working).max(patches * tower.working);
    let logits = answers * shape.config.text.vocab_size as f64;
    (caches + pass) * layout.number + logits * 4.0
}

/// One pack with its views, forward and backward.
fn update(recipe: &Recipe, shape: &Shape, layout: &Layout) -> f64 {
    let prompts = recipe.rollout.prompts.div_ceil(layout.devices * recipe.optim.updates) as f64;
    let group = (shape.prompt_tokens() + recipe.rollout.group * longest(recipe, shape)) as f64;
    let least = (shape.prompt_tokens() + longest(recipe, shape)) as f64;
    let tokens = (prompts * group).min(recipe.optim.token_budget as f64).max(least);
    let looks = (1 + recipe.rollout.group * (turns(recipe) - 1)) as f64;
    let patches = (tokens / group).max(1.0) * looks * shape.patches as f64;
    let kept = |rows: f64, per: PerRow| {
        let each = per.inputs + if recipe.model.checkpointing { 0.0 } else { per.saved };
        rows * (per.layers * each + per.working + if recipe.model.checkpointing { per.saved } else { 0.0 })
    };
    let vision =
        match recipe.model.trained().iter().any(|part| matches!(part, PartName::Vision | PartName::Merger)) {
            true => kept(patches, tower(shape)),
            false => patches * tower(shape).working,
        };
    let views = 1.0 + recipe.view.len() as f64;
    views * (kept(tokens, text(shape)) + vision) * layout.number + LOGITS
}

/// What each of some changes would make of the peak, the best first.
pub fn advice(recipe: &Recipe, shape: &Shape, layout: &Layout, peak: f64) -> Outcome<String> {
    let mut tries: Vec<(&str, Recipe)> = Vec::new();
    let mut offer = |what, change: &dyn Fn(&mut Recipe)| {
        let mut other = recipe.clone();
        change(&mut other);
        tries.push((what, other));
    };
    offer("model.checkpointing=true", &|r| r.model.checkpointing = true);
    offer("half of optim.token_budget", &|r| r.optim.token_budget = r.optim.token_budget.div_ceil(2));
    offer("half of rollout.prompts", &|r| r.rollout.prompts = r.rollout.prompts.div_ceil(2));
    offer("half of rollout.max_tokens", &|r| r.rollout.max_tokens = r.rollout.max_tokens.div_ceil(2));
    offer("model.train=[\"merger\"]", &|r| r.model.train = Some(vec![PartName::Merger]));
    offer("no term that needs a reference model", &|r| r.term.clear());
    let mut found = Vec::new();
    for (what, other) in tries {
        found.push((Estimate::of(&other, shape, layout)?.peak, what));
    }
    found.retain(|(bytes, _)| *bytes < peak * 0.99);
    found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    if found.is_empty() {
        return Ok("nothing in the recipe helps: a smaller model or smaller images do".into());
    }
    let lines = found.iter().map(|(bytes, what)| format!("{what}: {}", human(*bytes)));
    Ok(format!("these would help, with what it would then need:\n{}", lines.collect::<Vec<_>>().join("\n")))
}
