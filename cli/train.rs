//! `foveate train`: a run from a recipe, from the built-in quickstart, or from where it stopped.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use foveate_trainer::Trainer;
use foveate_trainer::observer::Silent;
use foveate_trainer::recipe::{self, Recipe};

use crate::failure::{Failure, Outcome};
use crate::watch::Watch;
use crate::{hub, interrupt, ranks, shown};

const QUICKSTART: &str = include_str!("../examples/recipes/quickstart.toml");

/// How errors call it.
const QUICKSTART_PLACE: &str = "the built-in quickstart";

/// Train a model by reinforcement learning
///
/// RECIPE is a TOML or YAML file; KEY=VALUE words set single keys of it. Without RECIPE the built-in
/// quickstart runs: it makes a small Qwen2.5-VL and pictures of coloured shapes, teaches the model to
/// answer, trains it with GRPO and measures it on clean and on damaged pictures, in a few minutes on two
/// cores. Ctrl-C finishes the step, writes a checkpoint and leaves; --resume goes on from there, to the
/// same weights as if it had never stopped. Started by mpirun, srun or torchrun, its processes share one run.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "foveate train [RECIPE] [KEY=VALUE ...] [--resume RUN]",
    after_help = "Examples:\n  foveate train\n  foveate train examples/recipes/easy-vqa.toml \
                  data.path=easy_vqa-1.0-py3-none-any.whl\n  foveate train my.toml optim.lr=2e-6 \
                  out=runs/second\n  foveate train --resume runs/second train.steps=200"
)]
pub struct Args {
    /// A recipe first, if any, then keys to set
    #[arg(value_name = "RECIPE|KEY=VALUE")]
    words: Vec<String>,
    /// Go on with the run in this directory; keys may be set, no recipe is read
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    ranks::named(train(args))
}

fn train(args: &Args) -> Outcome<()> {
    let stop = interrupt::listen("the step is finished and a checkpoint written")?;
    let started = Instant::now();
    let mut trainer = args.open(&stop)?;
    let out = trainer.recipe().out.clone();
    let _guard = ranks::Guard::over(trainer.ranks().clone());
    if trainer.ranks().rank() > 0 {
        // Rank 0 speaks for all.
        trainer.run(&stop, &mut Silent)?;
        return Ok(());
    }
    eprintln!("{:>10} {}", "run", out.display());
    if trainer.ranks().size() > 1 {
        eprintln!("{:>10} {}", "ranks", trainer.ranks().size());
    }
    let mut watch = Watch::new();
    let finished = trainer.run(&stop, &mut watch)?;
    let table = watch.finish();
    if finished.interrupted {
        let again = format!("foveate train --resume {}", out.display());
        let step = finished.step;
        return Err(
            Failure::work(format!("stopped after step {step} as asked")).help(format!("go on: {again}"))
        );
    }
    let page = shown::write(trainer.recipe(), &finished.checkpoint, &trainer.policy().origin, &stop)?;
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    println!("\n{table}\n  {:<22}{minutes:.1} minutes\n", "time");
    println!("  {:<22}{}", "run directory", out.display());
    let trained = if trainer.recipe().model.adapts() { "trained adapter" } else { "trained model" };
    println!("  {trained:<22}{}", finished.checkpoint.display());
    println!("  {:<22}{}", "report", page.display());
    println!("  {:<22}metrics.jsonl, completions.jsonl, TensorBoard events", "there are also");
    Ok(())
}

impl Args {
    fn open(&self, stop: &AtomicBool) -> Outcome<Trainer> {
        // A word without `=` that comes first is a file.
        let first = self.words.first().filter(|word| !word.contains('=') || Path::new(word).is_file());
        let keys = &self.words[usize::from(first.is_some())..];
        match (&self.resume, first) {
            (Some(_), Some(file)) => Err(Failure::differs(
                "command line",
                "--resume",
                "alone or with KEY=VALUE",
                format!("with {file}"),
            )),
            (Some(run), None) => {
                let mut recipe = Trainer::recorded(run, keys)?;
                // With a checkpoint the model is the run's own, unless that is an adapter.
                let weights = recipe.model.adapts() || !run.join("latest").exists();
                hub::locate(&mut recipe, weights, Some(stop))?;
                let ranks = ranks::join(&mut recipe)?;
                Ok(Trainer::resume_among(run, recipe, ranks)?)
            }
            (None, Some(file)) => {
                let mut recipe = recipe::from_file(Path::new(file), keys)?;
                hub::locate(&mut recipe, true, Some(stop))?;
                start(recipe)
            }
            (None, None) => {
                let mut recipe = quickstart(keys)?;
                hub::locate(&mut recipe, true, Some(stop))?;
                start(recipe)
            }
        }
    }
}

fn start(mut recipe: Recipe) -> Outcome<Trainer> {
    let ranks = ranks::join(&mut recipe)?;
    Ok(Trainer::start_among(recipe, ranks)?)
}

/// The built-in recipe; its run directory is the first free one, unless one was named.
fn quickstart(keys: &[String]) -> Outcome<Recipe> {
    let mut recipe = recipe::from_text(QUICKSTART, QUICKSTART_PLACE, keys)?;
    if !keys.iter().any(|key| key.starts_with("out=")) {
        let named = recipe.out.display().to_string();
        let later = (2..).map(|n| PathBuf::from(format!("{named}-{n}")));
        let mut all = std::iter::once(recipe.out.clone()).chain(later);
        recipe.out = all.find(|out| !out.exists()).unwrap_or(recipe.out);
    }
    Ok(recipe)
}
