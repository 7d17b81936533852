//! Whole runs with corrupted views: their terms reach the weights.

use super::*;

/// The weights after two steps with `terms`. (`view-policy` needs answers that differ in reward, which this
/// model may not give; its gradient is tested with the other terms' in the objectives.)
fn after(dir: &Path, name: &str, terms: &str) -> Vec<u8> {
    let terms = format!("term=[{terms}]");
    let words = words(dir, name, &[&terms, "warmup.steps=0", "train.steps=2", "eval=[]"]);
    let recipe =
        from_text(&format!("{RECIPE}{VIEWS}"), "flow.toml", &words).unwrap_or_else(|e| panic!("{e}"));
    Trainer::start(recipe).unwrap().run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    bytes(&dir.join(name), 2, WEIGHTS)
}

#[test]
fn terms_on_views_reach_the_weights_and_without_weight_are_absent() {
    let dir = tempfile::tempdir().unwrap();
    let without = after(dir.path(), "without", "");
    for (i, term) in [
        r#"name = "view-kl", views = ["one"]"#,
        r#"name = "view-kl", views = ["one"], stale = true"#,
        r#"name = "view-kl", views = ["one", "two"], through = "view", worst = "sequence""#,
        r#"name = "view-kl", views = ["picked"], through = "both""#,
        r#"name = "view-entropy", view = "two", gradient = true, kind = "full""#,
        r#"name = "entropy", kind = "full""#,
    ]
    .iter()
    .enumerate()
    {
        let with = after(dir.path(), &format!("with-{i}"), &format!("{{{term}, weight = 0.5}}"));
        assert!(with != without, "{term} changes nothing");
        let off = after(dir.path(), &format!("off-{i}"), &format!("{{{term}, weight = 0.0}}"));
        assert!(off == without, "{term} of weight 0 changes something");
    }
}

#[test]
fn the_kl_in_the_reward_is_taken_off_it() {
    let dir = tempfile::tempdir().unwrap();
    let term = r#"{name = "reference-kl", estimator = "k1", place = "reward", weight = 0.1}"#;
    let with = after(dir.path(), "with", term);
    assert!(with != after(dir.path(), "without", ""), "it changes nothing");
    let lines = metrics(&dir.path().join("with"));
    // At the first step the policy is its own reference.
    assert!(lines[0]["reward/penalty"].as_f64().unwrap().abs() < 1e-6);
    assert!(lines[1]["reward/penalty"].as_f64().unwrap().abs() > 1e-6);
    assert!(lines[1].get("loss/reference-kl").is_none());
}

/// PAPO's recipe on a very small model, with the perception term at `weight` through both branches: what
/// the term is at each step. The authors' own setting holds the masked branch constant, and whatever it is
/// weighed, the distance ends where training on answers alone takes it.
fn perception(dir: &Path, name: &str, weight: &str) -> Vec<f64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes/papo-g.toml");
    let term =
        format!("term=[{{name = \"view-kl\", views = [\"mask\"], fidelity = \"paper\", weight = {weight}}}]");
    let small = ["data.size=56", "rollout.prompts=8", "rollout.group=4", "train.steps=16", "eval=[]"];
    let learn = ["warmup.steps=12", "warmup.images=4", "optim.lr=1e-3", "train.checkpoint_every=0"];
    let words = words(dir, name, &[&[term.as_str()][..], &small, &learn].concat());
    let recipe =
        foveate_trainer::recipe::from_file(Path::new(path), &words).unwrap_or_else(|e| panic!("{e}"));
    Trainer::start(recipe).unwrap().run(&go(), &mut Silent).unwrap_or_else(|e| panic!("{e}"));
    let trained = metrics(&dir.join(name)).into_iter().filter(|line| line["stage"] == "train");
    trained.map(|line| line["term/view-kl/mean"].as_f64().unwrap()).collect()
}

#[test]
fn the_perception_kl_rises_early_in_a_run_of_papo_and_not_without_its_term() {
    let dir = tempfile::tempdir().unwrap();
    // A weight that is measured and moves nothing: the run without the term.
    let (with, without) =
        (perception(dir.path(), "with", "-0.3"), perception(dir.path(), "without", "-1e-30"));
    let mean = |kl: &[f64]| kl.iter().sum::<f64>() / kl.len() as f64;
    assert_eq!(with[0], without[0], "the first step measures the model that both begin with");
    assert!(mean(&with[12..]) > 3.0 * mean(&with[..4]), "{with:?}");
    assert!(mean(&with[12..]) > 3.0 * mean(&without[12..]), "{with:?} and without the term {without:?}");
}
