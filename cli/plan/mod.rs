//! `foveate plan`: what a recipe costs, before any weight is read.
//!
//! Decides which sizes go into the estimate and whether it fits; [`memory`] and [`work`] do the sums.

mod advice;
mod counts;
mod kinds;
mod layout;
mod memory;
mod published;
mod said;
mod shape;
mod work;

use std::path::PathBuf;

use foveate_trainer::recipe::{self, Recipe};

use crate::failure::{Failure, Outcome};
use kinds::Kind;
use layout::Layout;
use memory::Estimate;
use shape::{Asked, Shape, Sides};
use work::{Shares, Times};

/// Say what a recipe needs: parameters, tokens, memory, time
///
/// Reads config.json and the first samples, no weights. With --gpus and --kind it estimates the same run on
/// GPUs: bf16 with f32 masters, one process each, optimiser and gradients sharded by --zero, and the seconds
/// of a step. A recipe that cannot fit is refused (exit code 2) with the settings that would help.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foveate plan examples/recipes/quickstart.toml\n  \
                        foveate plan my.toml model.checkpointing=true --memory 16 --image 1920x1080\n  \
                        foveate plan my.toml model.path=Qwen/Qwen2.5-VL-7B-Instruct --gpus 8 --kind h100")]
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
    /// Tokens of a prompt besides its images; counted in the first samples where the tokenizer is at hand
    #[arg(long, value_name = "N")]
    text: Option<usize>,
    /// Tokens of an answer on the mean, for the time; the longest where it is not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    answer: Option<u32>,
    /// Estimate for so many GPUs instead: bf16, one process each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    gpus: Option<u32>,
    /// Kind of GPU, as in h100, a100, l20, rtx4090
    #[arg(long, value_name = "NAME", requires = "gpus", value_parser = kinds::named)]
    kind: Option<&'static Kind>,
    /// Memory of one GPU in GiB, where it is not its kind's
    #[arg(long, value_name = "GIB", requires = "gpus")]
    gpu_memory: Option<f64>,
    /// What is sharded over the GPUs: 0 nothing, 1 the optimiser, 2 gradients too; as the recipe's
    /// `ranks.zero` says where it is not said here
    #[arg(long, value_name = "STAGE", value_parser = clap::value_parser!(u8).range(0..=2))]
    zero: Option<u8>,
    /// Train adapters of this rank on the text layers' matrices instead of the model (LoRA)
    #[arg(long, value_name = "RANK", value_parser = clap::value_parser!(u32).range(1..))]
    lora: Option<u32>,
    /// Shares of the GPU's arithmetic (in passes) and of its bandwidth (in decoding) that are reached
    #[arg(long, value_name = "A,B", default_value = "0.2,0.5")]
    shares: Shares,
    /// JSON on standard output instead of text
    #[arg(long)]
    json: bool,
}

/// A plan, for people or programs.
struct Plan<'a> {
    args: &'a Args,
    recipe: Recipe,
    shape: Shape,
    layout: Layout,
    memory: Estimate,
    times: Option<Times>,
    /// Bytes there are, and whose.
    there: (f64, &'static str),
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    let recipe = recipe::from_file(&args.recipe, &args.overrides)?;
    let (layout, there) = args.layout(recipe.ranks.zero)?;
    let shape = Shape::read(&recipe, &Asked { image: args.image, text: args.text, lora: args.lora })?;
    let memory = Estimate::of(&recipe, &shape, &layout)?;
    let answer = args.answer.map_or(recipe.rollout.max_tokens, |tokens| tokens as usize);
    let times = Times::of(&recipe, &shape, &layout, answer, args.shares)?;
    let plan = Plan { args, recipe, shape, layout, memory, times, there };
    match args.json {
        true => println!("{:#}", plan.json()),
        false => plan.say(),
    }
    plan.judge()
}

impl Args {
    /// Over what the step is spread, and what memory each part of it has.
    fn layout(&self, zero: u8) -> Outcome<(Layout, (f64, &'static str))> {
        let zero = self.zero.unwrap_or(zero);
        let (layout, found, whose) = match (self.gpus, self.gpu_memory, self.kind) {
            (None, ..) => match self.memory {
                Some(gib) => (Layout::cpu(), gib, "--memory"),
                None => (Layout::cpu(), machine_memory().unwrap_or(f64::INFINITY), "this machine"),
            },
            (Some(n), Some(gib), kind) => (Layout::gpus(n as usize, zero, kind), gib, "--gpu-memory"),
            (Some(n), None, Some(kind)) => {
                (Layout::gpus(n as usize, zero, Some(kind)), kind.memory, "a GPU of this kind")
            }
            (Some(_), None, None) => {
                return Err(Failure::differs(
                    "command line",
                    "--gpus",
                    "with --kind or --gpu-memory",
                    "alone",
                ));
            }
        };
        if found.is_nan() || found <= 0.0 {
            return Err(Failure::differs("command line", whose, "over 0", found));
        }
        Ok((layout, (found * GIB, whose)))
    }
}

impl Plan<'_> {
    fn judge(&self) -> Outcome<()> {
        let ((memory, whose), peak) = (self.there, self.memory.peak);
        if peak <= memory {
            return Ok(());
        }
        let (place, needs) = (self.args.recipe.display(), human(peak));
        let found = format!("{needs} by this estimate, and {whose} has {}", human(memory));
        let help = advice::advice(&self.recipe, &self.shape, &self.layout, peak, memory)?;
        Err(Failure::input(format!("{place}: does not fit: it needs {found}")).help(help))
    }
}

const GIB: f64 = (1u64 << 30) as f64;

/// GiB; `MemTotal` of Linux, other systems keep it elsewhere.
fn machine_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1048576.0)
}

/// Bytes for people.
fn human(bytes: f64) -> String {
    let mib = bytes / (1u64 << 20) as f64;
    if mib < 1000.0 { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}
