//! The recipes of the examples: each runs, its metrics say what its method names, and a page says what it is.

use super::*;
use foveate_trainer::recipe::from_file;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes");

/// What every run's metrics say.
const EVERYWHERE: &[&str] = &[
    "reward/mean",
    "reward/std",
    "reward/unscored",
    "accuracy",
    "unparsed",
    "loss/total",
    "loss/policy",
    "entropy",
    "grad_norm",
    "lr",
    "policy/moved",
    "ratio/mean",
    "ratio/max",
    "clip/low",
    "clip/high",
    "clip/dual",
    "length/mean",
    "length/max",
    "length/cut",
    "groups/silent",
    "groups/asked",
    "tokens/generated",
    "tokens/trained",
    "logp/sampler_gap",
    "updates/skipped",
];

/// The distance to the view, its spread and bound, both entropies, and the signs of its hacking.
const PAPO: &[&str] = &[
    "loss/view-kl",
    "term/view-kl",
    "term/view-kl/mean",
    "term/view-kl/variance",
    "term/view-kl/max",
    "term/view-kl/saturated",
    "term/entropy",
    "term/view-entropy",
    "entropy/mask",
    "reward/exact",
    "reward/format",
    "hacking/kl_explodes",
    "hacking/clip_rises",
    "hacking/entropies_rise",
    "hacking/reward_falls",
];

/// A recipe, its section in the docs, and what its metrics say besides [`EVERYWHERE`]. One that wants data is
/// in the table without a run.
const METHODS: &[(&str, &str, &[&str])] = &[
    (
        "grpo",
        "methods.md## GRPO",
        &["loss/reference-kl", "kl/reference", "kl/reference/mean", "kl/reference/saturated", "reward/exact"],
    ),
    ("dapo", "methods.md## DAPO", &["groups/rounds", "reward/exact", "reward/length"]),
    ("dr-grpo", "methods.md## Dr.GRPO", &["reward/exact"]),
    ("gspo", "methods.md## GSPO", &["reward/exact"]),
    ("papo-g", "methods.md## PAPO", PAPO),
    ("papo-d", "methods.md## PAPO", PAPO),
    (
        "roma",
        "methods.md## ROMA",
        &[
            "loss/view-kl",
            "term/view-kl/mean",
            "term/view-kl/max",
            "term/view-kl/tokens",
            "term/view-kl/saturated",
            "loss/view-policy",
            "term/view-policy",
            "entropy/one",
            "entropy/two",
        ],
    ),
    (
        "papo-roma",
        "methods.md## ROMA",
        &["term/view-kl/mean", "term/view-kl-2/mean", "loss/view-policy", "entropy/mask", "entropy/bad"],
    ),
    (
        "q-hawkeye",
        "methods.md## Q-Hawkeye",
        &[
            "score/plcc",
            "score/srcc",
            "score/krcc",
            "score/rmse",
            "groups/weight",
            "loss/view-kl",
            "term/view-kl/mean",
            "term/view-kl/saturated",
            "entropy/degraded",
            "reward/score",
            "reward/format",
            "reward/repetition",
            "kl/reference",
        ],
    ),
    (
        "mgpo",
        "methods-mgpo.md# MGPO",
        &[
            "boxes/valid",
            "boxes/area",
            "boxes/hit",
            "boxes/iou",
            "turns/mean",
            "kl/reference",
            "loss/entropy",
        ],
    ),
    ("easy-vqa", "easy-vqa.md# ", &[]),
    ("quickstart", "", &["reward/exact"]),
];

#[test]
fn every_recipe_of_the_examples_is_in_the_table() {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()
    };
    let mut files: Vec<_> = std::fs::read_dir(FOLDER).unwrap().map(name).collect();
    let mut rows: Vec<_> = METHODS.iter().map(|(name, ..)| (*name).to_string()).collect();
    files.sort();
    rows.sort();
    assert_eq!(files, rows);
}

#[test]
fn every_method_has_a_section_with_its_command() {
    for (name, place, _) in METHODS.iter().filter(|(_, place, _)| !place.is_empty()) {
        let (file, heading) = place.split_once('#').unwrap();
        let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(path).unwrap();
        let start = page.find(&format!("#{heading}")).unwrap_or_else(|| panic!("{place} is not there"));
        let body = &page[start + 2..];
        let section = if heading.starts_with('#') { body.split("\n## ").next().unwrap() } else { body };
        let command = format!("foveate train examples/recipes/{name}.toml");
        assert!(section.contains(&command), "{place} does not say `{command}`");
    }
}

#[test]
fn every_recipe_runs_and_says_what_its_method_names() {
    let dir = tempfile::tempdir().unwrap();
    let small = [
        "rollout.prompts=4",
        "rollout.group=3",
        "warmup.steps=1",
        "warmup.images=2",
        "warmup.questions=2",
        "train.steps=20",
        "train.checkpoint_every=0",
        "eval=[]",
    ];
    for (name, _, quantities) in METHODS {
        let path = Path::new(FOLDER).join(format!("{name}.toml"));
        let read = from_file(&path, &[]).unwrap_or_else(|e| panic!("{e}"));
        if read.data.path.is_some() {
            continue;
        }
        let mut words: Vec<String> = small.iter().map(ToString::to_string).collect();
        // The smallest picture in which the targets of `search` are there at all.
        words.push(format!("data.size={}", if read.data.task == "search" { 224 } else { 56 }));
        words.push(format!("model.path={:?}", model(dir.path()).to_str().unwrap()));
        words.push(format!("out={:?}", dir.path().join(name).to_str().unwrap()));
        let recipe = from_file(&path, &words).unwrap_or_else(|e| panic!("{e}"));
        let terms: Vec<String> = recipe.term.iter().map(|t| format!("loss/{}", t.term.name)).collect();
        let mut trainer = Trainer::start(recipe).unwrap_or_else(|e| panic!("{name}: {e}"));
        trainer.run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines = metrics(&dir.path().join(name));
        assert_eq!(lines.len(), 21, "{name}");
        // A term that is annealed away is in the first lines only; a correlation of nothing is null.
        let said = |metric: &String| lines[1..].iter().any(|line| line.get(metric).is_some());
        let named = EVERYWHERE.iter().chain(*quantities).map(ToString::to_string);
        for metric in named.chain(terms) {
            assert!(said(&metric), "{name} has no {metric}: {}", lines[20]);
        }
        assert_eq!(lines[20]["updates/skipped"], 0.0, "{name}");
    }
}
