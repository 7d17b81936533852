//! What a recipe says: the words of the file and nothing else, no I/O and no meaning yet.
//!
//! Every table of it is a file here and refuses a key it does not know. [`read`] reads files and command
//! lines, [`check`] says what cannot be meant.

mod check;
mod data;
mod eval;
mod locate;
mod model;
mod optim;
mod ranks;
mod read;
mod reward;
mod rollout;
mod server;
mod train;
mod turns;
mod view;
mod warmup;

pub use data::DataRecipe;
pub use eval::EvalRecipe;
pub use model::{ModelRecipe, PartName};
pub use optim::OptimRecipe;
pub use ranks::RanksRecipe;
pub use read::{from_file, from_text};
pub use reward::RewardSpec;
pub use rollout::{EngineName, RolloutRecipe};
pub use server::{ServerRecipe, SyncName};
pub use train::TrainRecipe;
pub use turns::{Trained, TurnsRecipe};
pub use view::ViewRecipe;
pub use warmup::WarmupRecipe;

use foveate_objectives::{Named, ObjectiveSpec, TermSpec};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// How several ranks share the work.
    #[serde(skip_serializing_if = "RanksRecipe::is_default")]
    pub ranks: RanksRecipe,
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
            ranks: RanksRecipe::default(),
            reward: vec![RewardSpec { reward: Named::new("exact"), weight: 1.0 }],
            view: vec![],
            term: vec![],
            eval: vec![],
        }
    }
}
