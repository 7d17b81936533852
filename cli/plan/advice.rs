//! Which settings would make a recipe fit.

use foveate_trainer::recipe::{PartName, Recipe};

use super::human;
use super::layout::Layout;
use super::memory::Estimate;
use super::shape::Shape;
use crate::failure::Outcome;

/// What each of some changes would make of `peak`, those that fit into `memory` first.
pub fn advice(recipe: &Recipe, shape: &Shape, layout: &Layout, peak: f64, memory: f64) -> Outcome<String> {
    let mut found = Vec::new();
    for (what, recipe, layout) in tries(recipe, layout) {
        found.push((Estimate::of(&recipe, shape, &layout)?.peak, what));
    }
    found.retain(|(bytes, _)| *bytes < peak * 0.99);
    found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    if found.is_empty() {
        return Ok("nothing in the recipe helps: a smaller model or smaller images do".into());
    }
    let fits = |bytes: f64| if bytes <= memory { ", fits" } else { "" };
    let lines = found.iter().map(|(bytes, what)| format!("{what}: {}{}", human(*bytes), fits(*bytes)));
    Ok(format!("these would help, with what it would then need:\n{}", lines.collect::<Vec<_>>().join("\n")))
}

/// Each change alone, and at last all that change no number of the run.
fn tries(recipe: &Recipe, layout: &Layout) -> Vec<(String, Recipe, Layout)> {
    let mut tries = Vec::new();
    let mut offer = |what: &str, change: &dyn Fn(&mut Recipe, &mut Layout)| {
        let (mut recipe, mut layout) = (recipe.clone(), layout.clone());
        change(&mut recipe, &mut layout);
        tries.push((what.to_owned(), recipe, layout));
    };
    offer("model.checkpointing=true", &|r, _| r.model.checkpointing = true);
    offer("half of optim.token_budget", &|r, _| r.optim.token_budget = r.optim.token_budget.div_ceil(2));
    offer("half of rollout.prompts", &|r, _| r.rollout.prompts = r.rollout.prompts.div_ceil(2));
    offer("half of rollout.max_tokens", &|r, _| r.rollout.max_tokens = r.rollout.max_tokens.div_ceil(2));
    offer("model.train=[\"merger\"]", &|r, _| r.model.train = Some(vec![PartName::Merger]));
    offer("no term that needs a reference model", &|r, _| r.term.clear());
    if layout.on_gpus() {
        offer("twice as many GPUs", &|_, l| l.ranks *= 2);
        offer("--zero 2", &|_, l| l.zero = 2);
        offer("--zero 2 on twice as many GPUs", &|_, l| (l.zero, l.ranks) = (2, 2 * l.ranks));
    }
    offer("checkpointing and half of optim.token_budget", &|r, _| {
        r.model.checkpointing = true;
        r.optim.token_budget = r.optim.token_budget.div_ceil(2);
    });
    tries
}
