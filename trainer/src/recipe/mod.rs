//! What a recipe says: the words of the file and nothing else, no I/O and no meaning yet.
//!
//! Every table refuses a key it does not know. [`read`] reads files and command lines, [`check`] says
//! what cannot be meant.

mod check;
mod locate;
mod read;
mod server;

pub use read::{from_file, from_text};
pub use server::{ServerRecipe, SyncName};

use crate::hacking;
use crate::optim::ScheduleKind;
use foveate_objectives::{Named, ObjectiveSpec, TermSpec};
use foveate_vision::grounding::Frame;
use foveate_vision::tiny::TinySpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A whole recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Decides every random draw of the run.
    pub seed: u64,
    /// The run directory.
    pub out: PathBuf,
    /// The model and what of it is trained.
    pub model: ModelRecipe,
    /// What it is trained on.
    pub data: DataRecipe,
    /// How answers are sampled.
    pub rollout: RolloutRecipe,
    /// How sampled answers become a loss.
    pub objective: ObjectiveSpec,
    /// How a gradient becomes an update.
    pub optim: OptimRecipe,
    /// The supervised stage before.
    pub warmup: WarmupRecipe,
    /// The stage of reinforcement learning.
    pub train: TrainRecipe,
    /// What an answer is worth: a weighted sum.
    pub reward: Vec<RewardSpec>,
    /// Corrupted views of the training images, for terms to read.
    pub view: Vec<ViewRecipe>,
    /// What is added to the policy loss.
    pub term: Vec<TermSpec>,
    /// What is measured every `train.eval_every` steps and at the end.
    pub eval: Vec<EvalRecipe>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 0,
            out: "runs/run".into(),
            model: ModelRecipe::default(),
            data: DataRecipe::default(),
            rollout: RolloutRecipe::default(),
            objective: ObjectiveSpec::default(),
            optim: OptimRecipe::default(),
            warmup: WarmupRecipe::default(),
            train: TrainRecipe::default(),
            reward: vec![RewardSpec { reward: Named::new("exact"), weight: 1.0 }],
            view: vec![],
            term: vec![],
            eval: vec![],
        }
    }
}

/// `[model]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRecipe {
    /// A Hugging Face model directory, or `tiny`, a small model made from the run's seed.
    pub path: PathBuf,
    /// Of the model that `tiny` makes: side of a patch in pixels. A token of it sees a square of twice the side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// The parts that are trained.
    pub train: Vec<PartName>,
    /// Recompute activations in the backward pass instead of keeping them.
    pub checkpointing: bool,
}

impl Default for ModelRecipe {
    fn default() -> Self {
        let train = vec![PartName::Vision, PartName::Merger, PartName::Text];
        Self { path: "tiny".into(), patch_size: None, train, checkpointing: false }
    }
}

impl ModelRecipe {
    /// The model to be made, `None` where one is read from a directory.
    pub fn tiny(&self) -> Option<TinySpec<'static>> {
        let spec = TinySpec::quickstart();
        let patch_size = self.patch_size.unwrap_or(spec.patch_size);
        (self.path == Path::new("tiny")).then_some(TinySpec { patch_size, ..spec })
    }
}

/// A part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartName {
    /// The vision tower.
    Vision,
    /// What turns patches into tokens.
    Merger,
    /// The language model with embedding and head.
    Text,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRecipe {
    /// A task by name.
    pub task: String,
    /// Where its files lie, for a task that has files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The part that is trained on: `train` or `test`.
    pub split: String,
    /// At most this many samples of it, the first ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Side in pixels of a drawn image, where the task draws its images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

impl Default for DataRecipe {
    fn default() -> Self {
        Self { task: "shapes".into(), path: None, split: "train".into(), limit: None, size: None }
    }
}

/// `[rollout]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutRecipe {
    /// Prompts a step.
    pub prompts: usize,
    /// Prompts about one image, where the task has several questions of each: they share its pass through
    /// the vision tower and their common beginning.
    pub questions: usize,
    /// Answers a prompt.
    pub group: usize,
    /// Rounds of asking: with more than one, groups that are all right or all wrong are dropped and others
    /// asked instead (DAPO's dynamic sampling).
    pub rounds: usize,
    /// Whether answers that were cut off give no gradient (they still count in their group's statistics).
    pub mask_cut: bool,
    /// The longest answer.
    pub max_tokens: usize,
    /// The shortest answer.
    pub min_tokens: usize,
    /// Of sampling, and of the log-probabilities that are trained.
    pub temperature: f32,
    /// Nucleus sampling; the log-probabilities know nothing of it, as in the peers.
    pub top_p: f32,
    /// What samples.
    pub engine: EngineName,
    /// The server, where that is what samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerRecipe>,
    /// Answers of several turns, with a closer look between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<TurnsRecipe>,
}

impl Default for RolloutRecipe {
    fn default() -> Self {
        Self {
            prompts: 32,
            questions: 1,
            group: 8,
            rounds: 1,
            mask_cut: false,
            max_tokens: 16,
            min_tokens: 0,
            temperature: 1.0,
            top_p: 1.0,
            engine: EngineName::Local,
            server: None,
            turns: None,
        }
    }
}

/// Who samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// The model that is trained, in this process.
    Local,
    /// A server with OpenAI's chat completions that takes weights.
    Server,
}

/// `[rollout.turns]`: the model names a box, is shown that part of the image, and answers (MGPO).
/// `rollout.max_tokens` is then the longest turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnsRecipe {
    /// The model's turns at most, the answer included.
    pub max: usize,
    /// Whether it always has all of them. If not, a reply without a box is the answer.
    pub forced: bool,
    /// What is said to it: a row of [`foveate_vision::grounding::SCRIPTS`].
    pub script: String,
    /// Which turns give a gradient.
    pub train: Trained,
    /// What coordinates count, where it is not what the model's family was trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<Frame>,
    /// A box is refused unless both sides are longer, in pixels as the model reads them; a token's side where
    /// nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_side: Option<f64>,
}

impl Default for TurnsRecipe {
    fn default() -> Self {
        let (script, train) = ("mgpo".into(), Trained::All);
        Self { max: 2, forced: true, script, train, frame: None, min_side: None }
    }
}

/// The turns that give a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trained {
    /// All of the model's.
    All,
    /// The answer alone: what looking is worth if it is not learnt.
    Last,
}

/// `[optim]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimRecipe {
    /// The highest learning rate.
    pub lr: f64,
    /// The shape after warm-up.
    pub schedule: ScheduleKind,
    /// The rate at the end, as a share of `lr`.
    pub floor: f64,
    /// Updates over which the rate rises.
    pub warmup: u64,
    /// What the learning rate of the tower and the merger is multiplied by.
    pub vision_lr: f64,
    /// AdamW's decays of the mean of gradients and of their squares. A short stage wants a second one under
    /// 0.999, which remembers the large gradients of the first steps for a thousand.
    pub betas: [f64; 2],
    /// Decoupled weight decay, not on norms and biases.
    pub weight_decay: f64,
    /// Largest global norm of a gradient; 0 leaves gradients as they are.
    pub clip_norm: f64,
    /// Updates for each batch of rollouts: its groups are split into this many mini-batches.
    pub updates: usize,
    /// Tokens a forward pass may hold; a mini-batch is cut into as many passes as that takes.
    pub token_budget: usize,
    /// Run views without gradients first, and again with them only for the answers in which a term has
    /// one: less memory, and less time where few views win a token.
    pub lean_views: bool,
    /// Updates that may be lost to numbers that are not finite before the run stops.
    pub max_skipped: u64,
}

impl Default for OptimRecipe {
    fn default() -> Self {
        Self {
            lr: 1e-6,
            schedule: ScheduleKind::Constant,
            floor: 0.0,
            warmup: 0,
            vision_lr: 1.0,
            betas: [0.9, 0.999],
            weight_decay: 0.01,
            clip_norm: 1.0,
            updates: 1,
            token_budget: 16_384,
            lean_views: false,
            max_skipped: 5,
        }
    }
}

/// `[warmup]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WarmupRecipe {
    /// Supervised updates before the reinforcement learning; 0 for none.
    pub steps: u64,
    /// Their highest learning rate; it falls on half a cosine to nothing.
    pub lr: f64,
    /// Images a step.
    pub images: usize,
    /// Questions of each image, where the task has several.
    pub questions: usize,
}

impl Default for WarmupRecipe {
    fn default() -> Self {
        Self { steps: 0, lr: 2e-3, images: 32, questions: 8 }
    }
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainRecipe {
    /// Steps of reinforcement learning.
    pub steps: u64,
    /// Steps between checkpoints; 0 for one at the end only.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, the latest ones.
    pub keep: usize,
    /// Steps between evaluations; 0 for one at the end of each stage only.
    pub eval_every: u64,
    /// Groups of each step whose answers go to `completions.jsonl`.
    pub completions: usize,
    /// Answers of each evaluated kind of image that go to `evaluations.jsonl`.
    pub eval_completions: usize,
    /// The metric whose largest value names the best checkpoint, kept beside the latest; by default the
    /// clean accuracy of the first `[[eval]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// What is done when a perception term is hacked: `off`, `warn` or `stop`.
    pub hacking: hacking::Policy,
}

impl Default for TrainRecipe {
    fn default() -> Self {
        Self {
            steps: 100,
            checkpoint_every: 50,
            keep: 2,
            eval_every: 0,
            completions: 4,
            eval_completions: 8,
            best: None,
            hacking: hacking::Policy::default(),
        }
    }
}

/// One `[[eval]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalRecipe {
    /// A task by name.
    pub task: String,
    /// Where its files lie; `data.path` if it is the same task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Corruptions, besides the clean images.
    #[serde(default)]
    pub corruptions: Vec<String>,
    /// Their severities, 1 to 5.
    #[serde(default = "middle")]
    pub severities: Vec<u8>,
    /// At most this many questions of the test split, the first ones.
    #[serde(default = "five_hundred")]
    pub limit: usize,
}

fn middle() -> Vec<u8> {
    vec![3]
}

fn five_hundred() -> usize {
    500
}

/// One `[[view]]`: the training image of each prompt, corrupted anew each step, the same for all answers
/// of its group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewRecipe {
    /// What terms call it; not `picked`, which stands for one view drawn each step.
    pub name: String,
    /// Corruptions or named lists of them; one is drawn for each image. Views with the same list draw
    /// different ones, as far as it reaches.
    pub corruptions: Vec<String>,
    /// Severities, 1 to 5; one is drawn for each image.
    #[serde(default = "middle")]
    pub severities: Vec<u8>,
}

/// One `[[reward]]`: a row of [`crate::reward::REWARDS`] with its settings and weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Named", into = "Named")]
pub struct RewardSpec {
    /// The row.
    pub reward: Named,
    /// What its value is multiplied by.
    pub weight: f64,
}

impl TryFrom<Named> for RewardSpec {
    type Error = String;

    fn try_from(mut reward: Named) -> Result<Self, String> {
        let weight = match reward.settings.remove("weight") {
            None => 1.0,
            Some(v) => v.as_f64().ok_or_else(|| {
                format!("reward `{}`: `weight` should be a number, but is {v}", reward.name)
            })?,
        };
        Ok(Self { reward, weight })
    }
}

impl From<RewardSpec> for Named {
    fn from(spec: RewardSpec) -> Self {
        spec.reward.with("weight", Value::from(spec.weight))
    }
}
