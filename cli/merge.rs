//! `foveate merge`: a model with its adapter as a model of its own.

use std::path::PathBuf;

use foveate_trainer::policy::LocalPolicy;
use foveate_trainer::run_dir::whole;
use foveate_vision::weights::Precision;

use crate::failure::{Failure, Outcome};
use crate::hub::{self, Need};

/// Write a model with an adapter merged into its weights
///
/// DIR becomes a Hugging Face model directory that computes what MODEL with the adapter computes, up to
/// rounding; it is there whole or not at all. The adapter is one of a run that trained one, or made by PEFT.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foveate merge Qwen2.5-VL-3B-Instruct --adapter \
                        runs/lora/checkpoints/step-000100 --dtype bf16 --out merged")]
pub struct Args {
    /// A model: a Hugging Face directory, or a name on the hub, ORG/NAME[@REVISION]
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The adapter: a directory with adapter_config.json and adapter_model.safetensors, or a name on the hub
    #[arg(long, value_name = "ADAPTER")]
    adapter: PathBuf,
    /// Where the model goes; a new directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How numbers are stored: f32 without loss, bf16 or f16 rounded
    #[arg(long, value_name = "NAME", default_value = "f32", value_parser = precision)]
    dtype: Precision,
}

fn precision(name: &str) -> Result<Precision, String> {
    match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "f16" => Ok(Precision::F16),
        _ => Err("should be f32, bf16 or f16".into()),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Outcome<()> {
    if args.out.exists() {
        return Err(Failure::differs(args.out.display(), "--out", "a new directory", "there already"));
    }
    let dir = hub::model(&args.model, Need::Weights, None)?.path;
    let adapter = hub::adapter(&args.adapter, None)?.path;
    let mut policy = LocalPolicy::load(&dir)?;
    policy.model.load_adapter(&adapter)?;
    policy.model.merge_adapter()?;
    whole(&args.out, |dir| policy.save_model(dir, args.dtype))?;
    println!("{}", args.out.display());
    Ok(())
}
