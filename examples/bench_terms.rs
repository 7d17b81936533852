//! `bench_terms [--repeat N] [--right R] [--tokens T] [--size PIXELS] [--reference]`: what one update costs on a
//! group of 8 with GRPO, with PAPO, and with ROMA on three views, whole and lean, in one process, turn by turn.
//! `--right` of the eight answers are right, all are `--tokens` long. Prints one JSON object: the least and the
//! median seconds of each, ratios of the medians, and the same ratio of processor time (Linux), which is what can
//! be compared on a machine that is busy with other work.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use foveate_datasets::{Grade, Sample};
use foveate_objectives::{Objective, ObjectiveSpec, TermSpec};
use foveate_trainer::log::Metrics;
use foveate_trainer::micro;
use foveate_trainer::optim::{AdamW, AdamWConfig, Slot};
use foveate_trainer::policy::LocalPolicy;
use foveate_trainer::reward::Scored;
use foveate_trainer::rollout::{Group, Rollout};
use foveate_trainer::update::{Updater, apply};
use foveate_vision::models::Part;
use foveate_vision::nn::GradSink;
use foveate_vision::processor::Prompt;
use foveate_vision::text::{Content, Message};
use foveate_vision::tiny::{self, TinySpec};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

const GROUP: usize = 8;

fn prompt(policy: &LocalPolicy, size: u32, look: u32) -> Outcome<Arc<Prompt>> {
    let paint = |x: u32, y: u32| image::Rgb([(x * 7 + look * 31) as u8, (y * 5) as u8, (x ^ y) as u8]);
    let patches = Arc::new(policy.processor.images.patches(&image::RgbImage::from_fn(size, size, paint))?);
    let content = vec![Content::Image(None), Content::Text("What colour is the square?".into())];
    let message = Message { role: "user".into(), content };
    Ok(Arc::new(policy.processor.prompt(&[message], &[patches])?))
}

fn group(policy: &LocalPolicy, size: u32, right: usize, tokens: usize) -> Outcome<Group> {
    let views =
        (0..3).map(|v| Ok((format!("v{v}"), prompt(policy, size, v + 1)?))).collect::<Outcome<_>>()?;
    let rollout = |i: usize| Rollout {
        ids: (0..tokens).map(|t| (100 + (i * 37 + t * 11) % 500) as u32).collect(),
        text: String::new(),
        logp_tempered: vec![],
        finished: true,
        heard: vec![],
        untrained: 0,
        grade: Grade::of(i < right, ""),
        scored: Scored { total: 0.0, parts: vec![] },
    };
    let sample = Sample {
        id: "bench".into(),
        problem: String::new(),
        answer: String::new(),
        choices: vec![],
        images: vec![],
        meta: serde_json::Map::new(),
    };
    let rollouts = (0..GROUP).map(rollout).collect();
    Ok(Group { sample, prompt: prompt(policy, size, 0)?, views, rollouts })
}

fn methods(reference: bool) -> Outcome<Vec<(&'static str, Vec<TermSpec>, bool)>> {
    let terms = |all: Vec<Value>| -> Outcome<Vec<TermSpec>> {
        let kl = reference.then(|| json!({"name": "reference-kl", "weight": 0.01}));
        Ok(serde_json::from_value(Value::Array(kl.into_iter().chain(all).collect()))?)
    };
    let papo = json!({"name": "view-kl", "views": ["v0"], "fidelity": "authors", "weight": -0.01});
    let views = ["v0", "v1", "v2"];
    let worst =
        json!({"name": "view-kl", "views": views, "through": "view", "scope": "correct", "weight": 0.03});
    let aux = json!({"name": "view-policy", "view": "picked", "scope": "correct", "weight": 0.5});
    Ok(vec![
        ("grpo", terms(vec![])?, false),
        ("papo", terms(vec![papo])?, false),
        ("roma3", terms(vec![worst.clone(), aux.clone()])?, false),
        ("roma3_lean", terms(vec![worst, aux])?, true),
    ])
}

/// Seconds that the threads of this process have run, where the system says so.
fn processor_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    tasks.filter_map(of).sum::<f64>() * 1e-9
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let get = |name: &str, default: usize| -> Outcome<usize> {
        let at = words.iter().position(|w| w == name).and_then(|i| words.get(i + 1));
        Ok(at.map_or(Ok(default), |w| w.parse())?)
    };
    let (repeat, right, tokens) = (get("--repeat", 9)?, get("--right", 4)?, get("--tokens", 64)?);
    let size = get("--size", 112)? as u32;
    let with_reference = words.iter().any(|w| w == "--reference");
    let dir = std::env::temp_dir().join(format!("foveate-bench-terms-{}", std::process::id()));
    tiny::write(&dir, &TinySpec::quickstart())?;
    let (policy, frozen) = (LocalPolicy::load(&dir)?, LocalPolicy::load(&dir)?);
    std::fs::remove_dir_all(&dir)?;
    policy.model.set_trainable(&Part::ALL);
    let mut optim =
        AdamW::new(policy.model.parameters().iter().map(Slot::from).collect(), AdamWConfig::default())?;
    let group = group(&policy, size, right, tokens)?;
    let credits: Vec<f64> = (0..GROUP).map(|i| if i < right { 1.0 } else { -1.0 }).collect();
    let sink = GradSink::default();
    let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut processor: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..=repeat {
        for (name, terms, lean) in methods(with_reference)? {
            let objective = Objective::new(&ObjectiveSpec::default(), &terms)?;
            let (clock, before) = (Instant::now(), processor_seconds());
            let updater = Updater {
                model: &policy.model,
                reference: Some(&frozen.model),
                objective: &objective,
                temperature: 1.0,
                sink: &sink,
                picked: Some("v1"),
                lean,
                reducer: None,
            };
            let micros = micro::pack(&[(&group, &credits)], 16_384, false)?;
            let (finite, _) = updater.gradients(&micros)?;
            apply(finite, &mut optim, &sink, 1e-6, &mut Metrics::default())?;
            seconds.entry(name).or_default().push(clock.elapsed().as_secs_f64());
            processor.entry(name).or_default().push(processor_seconds() - before);
        }
    }
    let sorted = |of: &BTreeMap<&str, Vec<f64>>, name: &str| {
        // The first round warms up.
        let mut all = of[name][1..].to_vec();
        all.sort_by(f64::total_cmp);
        all
    };
    let middle = |of: &BTreeMap<&str, Vec<f64>>, name: &str| sorted(of, name)[repeat / 2];
    let ratio = |of: &BTreeMap<&str, Vec<f64>>, name: &str| middle(of, name) / middle(of, "grpo");
    let one = |name: &&str| {
        let value = json!({
            "min_s": sorted(&seconds, name)[0], "median_s": middle(&seconds, name),
            "times_grpo": ratio(&seconds, name), "processor_times_grpo": ratio(&processor, name),
        });
        (name.to_string(), value)
    };
    let all: serde_json::Map<_, _> = ["grpo", "papo", "roma3", "roma3_lean"].iter().map(one).collect();
    let prompt = group.prompt.input_ids.len();
    println!(
        "{}",
        json!({"prompt": prompt, "group": GROUP, "tokens": tokens, "right": right, "methods": all})
    );
    Ok(())
}
