//! `bench_plan FOVEATE`: what `foveate plan` says of some small recipes, and what their runs take (Linux).
//! A minute or two each on two quiet cores.

#[path = "../tests/support/peak.rs"]
mod peak;

use std::error::Error;
use std::path::Path;

use foveate_vision::config::Family;
use foveate_vision::tiny::{self, TinySpec, WORDS};

/// Twenty million parameters, and an image of 448x448 as 256 tokens.
fn small(family: Family) -> TinySpec<'static> {
    TinySpec {
        family,
        hidden: 256,
        layers: 8,
        heads: 8,
        kv_heads: 2,
        intermediate: 704,
        vision_hidden: 256,
        vision_depth: 8,
        vision_heads: 8,
        vision_intermediate: 512,
        max_pixels: 448 * 448,
        words: WORDS,
        ..TinySpec::quickstart()
    }
}

/// Name, the model that is written for it, lines of the recipe.
type Case = (&'static str, Option<TinySpec<'static>>, &'static str);

fn cases() -> Vec<Case> {
    let long = "[data]\nsize = 448\n[rollout]\nprompts = 4\ngroup = 8\nmax_tokens = 32\nmin_tokens = 32\n\
                [optim]\ntoken_budget = 4096\n";
    let lean = "[data]\nsize = 448\n[rollout]\nprompts = 8\ngroup = 4\nmax_tokens = 24\nmin_tokens = 24\n\
                [optim]\ntoken_budget = 8192\n[[term]]\nname = \"reference-kl\"\nweight = 0.01\n";
    vec![
        ("tiny, everything kept", None, peak::TINY),
        ("small Qwen2.5-VL, everything kept", Some(small(Family::Qwen2_5Vl)), long),
        ("small Qwen3-VL, checkpointed, with a reference", Some(small(Family::Qwen3Vl)), lean),
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let foveate = std::env::args().nth(1).ok_or("say where the foveate binary is")?;
    println!("| recipe | planned | measured (VmHWM) | planned / measured |\n|---|---|---|---|");
    for (name, spec, lines) in cases() {
        let folder = tempfile::tempdir()?;
        let mut text = lines.to_owned();
        if let Some(spec) = &spec {
            let model = folder.path().join("model");
            tiny::write(&model, spec)?;
            let checkpointing = name.contains("checkpointed");
            let head = format!("[model]\npath = {model:?}\ncheckpointing = {checkpointing}\n");
            text = format!("{head}{lines}\n[train]\nsteps = 2\ncheckpoint_every = 0\n");
        }
        let recipe = folder.path().join("recipe.toml");
        std::fs::write(&recipe, text)?;
        let (planned, measured) = peak::compare(Path::new(&foveate), &recipe, folder.path());
        println!("| {name} | {planned:.0} MiB | {measured:.0} MiB | {:.2} |", planned / measured);
    }
    Ok(())
}
