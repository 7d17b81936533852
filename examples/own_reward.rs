//! `own_reward OUT`: a reward of one's own, as a Rust type. Trains the built-in tiny model for a few steps to
//! answer briefly, and writes the run to the directory OUT.
//!
//! A reward in another language needs no Rust: see `[[reward]] name = "command"`.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use foveate_trainer::log::Metrics;
use foveate_trainer::observer::{Observer, Stage};
use foveate_trainer::recipe::from_text;
use foveate_trainer::reward::{Answer, Reward};
use foveate_trainer::{Result, Trainer};

const RECIPE: &str = r#"
[data]
task = "shapes"
size = 56

[rollout]
prompts = 8
group = 4
max_tokens = 6

[[reward]]
name = "exact"

[optim]
lr = 3e-4

[warmup]
steps = 20

[train]
steps = 5
"#;

/// A fifth of a point for each token that an answer saves.
#[derive(Debug)]
struct Brief {
    longest: usize,
}

impl Reward for Brief {
    fn name(&self) -> &'static str {
        "brief"
    }

    /// `None` would take the answer out of its group's statistics; an error would stop the run.
    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        if answer.text.is_empty() {
            return Ok(Some(0.0));
        }
        Ok(Some(0.2 * self.longest.saturating_sub(answer.tokens) as f64))
    }
}

/// Prints the rewards of each step.
struct Print;

impl Observer for Print {
    fn step(&mut self, stage: Stage, step: u64, metrics: &Metrics) {
        if stage == Stage::Train {
            let value = |name: &str| metrics.get(name).unwrap_or(f64::NAN);
            let (exact, brief) = (value("reward/exact"), value("reward/brief"));
            println!("step {step}: exact {exact:.3}, brief {brief:.3}, tokens {:.2}", value("length/mean"));
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::args().nth(1).ok_or("usage: own_reward OUT")?);
    let mut recipe = from_text(RECIPE, "own_reward", &[])?;
    recipe.out = out;
    let longest = recipe.rollout.max_tokens;
    let mut trainer = Trainer::start(recipe)?;
    trainer.add_reward(1.0, Box::new(Brief { longest }));
    let finished = trainer.run(&AtomicBool::new(false), &mut Print)?;
    println!("trained model: {}", finished.checkpoint.display());
    Ok(())
}
