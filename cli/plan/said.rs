//! A plan as text and as JSON.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::published::beside;
use super::{Plan, human};

impl Plan<'_> {
    /// Prints it.
    pub fn say(&self) {
        let (recipe, shape) = (&self.recipe, &self.shape);
        println!("{} on {}\n", self.args.recipe.display(), self.layout.name());
        println!("  {:<12}{}", "model", shape.model());
        println!("  {:<12}{}", "trained", shape.trained_in_words(recipe));
        println!("  {:<12}{}", "prompt", shape.prompt());
        let (prompts, group) = (recipe.rollout.prompts, recipe.rollout.group);
        let (answers, longest) = (prompts * group, recipe.rollout.max_tokens);
        println!(
            "  {:<12}{prompts} prompts x {group} answers = {answers} answers of up to {longest} tokens",
            "step"
        );
        println!("\n  memory{}", if self.layout.on_gpus() { " of each GPU" } else { "" });
        for (name, bytes) in &self.memory.rows {
            println!("    {name:<46}{:>10}", human(*bytes));
        }
        println!(
            "    {:<46}{:>10}",
            "at most, as answering and updating take turns",
            human(self.memory.peak)
        );
        self.say_times();
        let (memory, whose) = self.there;
        if self.memory.peak <= memory {
            println!("\n  fits: {whose} has {}", human(memory));
        }
    }

    fn say_times(&self) {
        let (Some(times), Some(kind)) = (&self.times, self.layout.kind) else { return };
        let Kind { name, memory, bf16, f32, bandwidth, link } = kind;
        let (bf16, f32, bandwidth, link) = (bf16 / 1e12, f32 / 1e12, bandwidth / 1e9, link / 1e9);
        println!(
            "\n  {name}: {memory} GiB, {bf16:.0} TFLOP/s in bf16 ({f32:.0} in f32), {bandwidth:.0} GB/s, link {link:.0} GB/s"
        );
        let shares = self.args.shares;
        let (arithmetic, bandwidth) = (100.0 * shares.arithmetic, 100.0 * shares.bandwidth);
        println!(
            "  time of a step, if {arithmetic:.0} % of its arithmetic and {bandwidth:.0} % of its bandwidth are reached"
        );
        for (name, seconds) in &times.rows {
            println!("    {name:<46}{seconds:>8.1} s");
        }
        println!("    {:<46}{:>8.1} s", "a step", times.step);
        let answers = self.recipe.rollout.prompts * self.recipe.rollout.group;
        println!("    {:<46}{:>8.1} s", "a thousand answers", 1000.0 * times.step / answers as f64);
        for row in beside(&self.shape) {
            let each = row.seconds / 2560.0 * 1000.0;
            println!(
                "  EasyR1 publishes for {} on {} ({}): {:.0} s for 2560 answers ({each:.0} s a thousand), {:.0} GB, {:.1} % reached",
                row.model, row.gpus, row.how, row.seconds, row.memory, row.reached
            );
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let rows = |rows: &[(&'static str, f64)]| -> Value {
            rows.iter().map(|(name, value)| json!({"what": name, "value": value})).collect()
        };
        let parts: Value =
            self.shape.parts.iter().map(|(part, n)| json!({"part": part, "parameters": n})).collect();
        json!({
            "parameters": self.shape.parameters(),
            "parts": parts,
            "trained": self.shape.trained(&self.recipe),
            "prompt_tokens": self.shape.prompt_tokens(),
            "memory": {
                "bytes": rows(&self.memory.rows), "peak": self.memory.peak,
                "there": Some(self.there.0).filter(|bytes| bytes.is_finite()),
                "fits": self.memory.peak <= self.there.0,
            },
            "time": self.times.as_ref().map(|times| json!({
                "seconds": rows(&times.rows), "step": times.step, "longest": times.longest(),
            })),
        })
    }
}
