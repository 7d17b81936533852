//! `foveate plan`: what a recipe costs, before any weight is read.
//!
//! Decides which sizes go into the estimate and what to say of it; [`memory`] does the sums.

mod memory;
mod shape;

use std::path::{Path, PathBuf};

use foveate_trainer::recipe::{self, Recipe};

use crate::failure::{Failure, Outcome};
use memory::{Estimate, Layout};
use shape::{Asked, Shape, Sides};

/// Say what a recipe needs: parameters, tokens, memory
///
/// Reads config.json and the first samples, no weights. A recipe that cannot fit is refused (exit code
/// 2) with the settings that would help.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate plan examples/recipes/quickstart.toml\n  \
                        foveate plan my.toml model.checkpointing=true --memory 16 --image 1920x1080")]
pub struct Args {
    /// TOML or YAML file
    recipe: PathBuf,
    /// Keys of the recipe to set, as in optim.token_budget=4096
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Memory of the machine in GiB; this machine's own where it is not said
    #[arg(long, value_name = "GIB")]
    memory: Option<f64>,
    /// Pixels of a prompt's image; those of the recipe's first samples where it is not said
    #[arg(long, value_name = "WxH")]
    image: Option<Sides>,
    /// Tokens of a prompt besides its images
    #[arg(long, value_name = "N", default_value_t = 64)]
    text: usize,
    /// Estimate for so many GPUs instead: bf16, one process each, nothing sharded
    #[arg(long, value_name = "N", requires = "gpu_memory", value_parser = clap::value_parser!(u32).range(1..))]
    gpus: Option<u32>,
    /// Memory of one GPU in GiB
    #[arg(long, value_name = "GIB", requires = "gpus")]
    gpu_memory: Option<f64>,
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let recipe = recipe::from_file(&args.recipe, &args.overrides)?;
    let asked = Asked { image: args.image, text: args.text };
    let shape = Shape::read(&recipe, &asked)?;
    let layout = args.gpus.map_or(Layout::CPU, Layout::gpus);
    let estimate = Estimate::of(&recipe, &shape, &layout)?;
    say(&args.recipe, &recipe, &shape, &layout, &estimate);
    args.judge(&recipe, &shape, &layout, &estimate)
}

fn say(path: &Path, recipe: &Recipe, shape: &Shape, layout: &Layout, estimate: &Estimate) {
    println!("{} on {}\n", path.display(), layout.name());
    println!("  {:<12}{}", "model", shape.model());
    println!("  {:<12}{}", "prompt", shape.prompt());
    let (prompts, group) = (recipe.rollout.prompts, recipe.rollout.group);
    let (answers, longest) = (prompts * group, recipe.rollout.max_tokens);
    println!(
        "  {:<12}{prompts} prompts x {group} answers = {answers} answers of up to {longest} tokens",
        "step"
    );
    println!("\n  memory{}", layout.each());
    for (name, bytes) in &estimate.rows {
        println!("    {name:<46}{:>10}", human(*bytes));
    }
    println!("    {:<46}{:>10}", "at most, as the last two take turns", human(estimate.peak));
}

impl Args {
    fn judge(&self, recipe: &Recipe, shape: &Shape, layout: &Layout, estimate: &Estimate) -> Outcome<()> {
        let (memory, whose) = match (self.gpu_memory, self.memory) {
            (Some(gib), _) => (gib * GIB, "--gpu-memory"),
            (None, Some(gib)) => (gib * GIB, "--memory"),
            (None, None) => (machine_memory().unwrap_or(f64::INFINITY), "this machine"),
        };
        if memory.is_nan() || memory <= 0.0 {
            return Err(Failure::differs("command line", whose, "over 0", memory / GIB));
        }
        if estimate.peak <= memory {
            println!("\n  fits: {whose} has {}", human(memory));
            return Ok(());
        }
        let (place, needs) = (self.recipe.display(), human(estimate.peak));
        let found = format!("{needs} by this estimate, and {whose} has {}", human(memory));
        let help = memory::advice(recipe, shape, layout, estimate.peak)?;
        Err(Failure::input(format!("{place}: does not fit: it needs {found}")).help(help))
    }
}

const GIB: f64 = (1u64 << 30) as f64;

/// `MemTotal` of Linux; other systems keep it elsewhere.
fn machine_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib * 1024.0)
}

/// Bytes for people.
fn human(bytes: f64) -> String {
    let mib = bytes / (1u64 << 20) as f64;
    if mib < 1000.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
