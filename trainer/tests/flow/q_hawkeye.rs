//! Q-Hawkeye from replies to gradients, as its recipe says it, against numbers worked by hand
//! (tests/golden/q-hawkeye/make.py).

use super::*;
use candle_core::{Device, Tensor, Var};
use foveate_datasets::{Grade, Sample};
use foveate_objectives::{Batch, Objective, Sequences, Signal, TermSpec, Totals};
use foveate_trainer::recipe::from_file;
use foveate_trainer::reward::{Answer, Rewards, Scored};
use foveate_trainer::rollout::{Group, Rollout};
use foveate_vision::processor::Prompt;
use std::collections::BTreeMap;
use std::sync::Arc;

fn cases() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/q-hawkeye/cases.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The recipe of the examples, with the authors' form of an answer.
fn recipe() -> Recipe {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes/q-hawkeye.toml");
    let form = r#"{name = "format", form = "think-number", weight = 0.8}"#;
    let reward = format!(r#"reward=[{{name = "score"}}, {form}, {{name = "repetition"}}]"#);
    from_file(Path::new(path), &[reward]).unwrap_or_else(|e| panic!("{e}"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn near(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{what}: {found}, expected {expected}");
}

/// A group of the golden file with the rewards that the recipe gives it.
fn group(golden: &Value, rewards: &Rewards) -> Group {
    let answer = golden["truth"].as_str().unwrap().to_string();
    let (id, problem, meta) = (answer.clone(), String::new(), serde_json::Map::new());
    let sample = Sample { id, problem, answer, choices: vec![], images: vec![], meta };
    let rollout = |text: &Value| {
        let (text, grade) = (text.as_str().unwrap().to_string(), Grade::unparsed());
        let answer =
            Answer { sample: &sample, text: &text, tokens: 3, finished: true, grade: &grade, region: None };
        let scored = rewards.score(&answer).unwrap();
        let (ids, logp_tempered, heard) = (vec![1, 2, 3], vec![], vec![]);
        Rollout { ids, text, logp_tempered, finished: true, heard, untrained: 0, grade, scored }
    };
    let rollouts = golden["replies"].as_array().unwrap().iter().map(rollout).collect();
    let prompt = Arc::new(Prompt { input_ids: vec![], images: vec![] });
    Group { sample, prompt, views: vec![], rollouts }
}

#[test]
fn replies_become_the_rewards_weights_and_credits_of_the_hand_worked_groups() {
    let (golden, recipe) = (cases(), recipe());
    let rewards = Rewards::new(&recipe.reward).unwrap();
    let objective = Objective::new(&recipe.objective, &recipe.term).unwrap();
    for want in golden["groups"].as_array().unwrap() {
        let group = group(want, &rewards);
        let of = |key: &str| numbers(&want[key]);
        for (i, (rollout, parts)) in group.rollouts.iter().zip(want["parts"].as_array().unwrap()).enumerate()
        {
            let Scored { total, parts: found } = &rollout.scored;
            near(&rollout.text, *total, of("rewards")[i]);
            for (name, value) in found {
                near(&format!("{name} of {}", rollout.text), value.unwrap(), parts[*name].as_f64().unwrap());
            }
            assert_eq!(found.len(), 3);
        }
        let outcomes = [group.outcomes()];
        near("weight", objective.group_weights(&outcomes).unwrap()[0], want["weight"].as_f64().unwrap());
        for (found, expected) in objective.advantages(&outcomes)[0].iter().zip(of("credits")) {
            near("credit", *found, expected);
        }
    }
    // One score in a group that can be read, and the group counts in full.
    assert_eq!(golden["groups"][1]["weight"], 1.0);
}

/// The terms of the recipe, with the double entropy as docs/methods.md says it.
fn terms(recipe: &Recipe, eta: f64) -> Vec<TermSpec> {
    let sums = |value: Value| serde_json::from_value::<TermSpec>(value).unwrap();
    let reduction = "seq-mean-token-sum";
    let mut terms = recipe.term.clone();
    terms.extend([
        sums(json!({"name": "entropy", "kind": "sampled", "reduction": reduction, "weight": eta})),
        sums(json!({"name": "view-entropy", "view": "degraded", "reduction": reduction, "weight": eta})),
    ]);
    terms
}

/// The tokens of the golden file as a mini-batch, with a variable for the policy's log-probabilities.
fn batch(golden: &Value) -> (Var, Batch) {
    let tensor = |x: Vec<f64>| Tensor::new(x, &Device::Cpu).unwrap();
    let (mut columns, mut ranges, mut advantage_n) = ([vec![], vec![], vec![]], vec![], vec![]);
    let credits = golden["groups"].as_array().unwrap().iter().flat_map(|g| numbers(&g["credits"]));
    for (row, credit) in golden["tokens"].as_array().unwrap().iter().zip(credits) {
        let start = advantage_n.len();
        for token in row.as_array().unwrap() {
            columns.iter_mut().zip(numbers(token)).for_each(|(column, value)| column.push(value));
            advantage_n.push(credit);
        }
        ranges.push(start..advantage_n.len());
    }
    let [logp, reference, degraded] = columns.map(tensor);
    let logp = Var::from_tensor(&logp).unwrap();
    let signals = [(Signal::Reference, reference), (Signal::View("degraded".into()), degraded)];
    let batch = Batch {
        logp_n: logp.as_tensor().clone(),
        old_n: None,
        advantage_n: tensor(advantage_n),
        sequences: Sequences::whole(ranges).unwrap(),
        signals: BTreeMap::from(signals),
    };
    (logp, batch)
}

#[test]
fn the_losses_and_their_gradient_are_the_hand_worked_ones() {
    let (golden, recipe) = (cases(), recipe());
    for want in golden["cases"].as_array().unwrap() {
        let number = |key: &str| want[key].as_f64().unwrap();
        let terms = terms(&recipe, number("eta"));
        let mut objective = Objective::new(&recipe.objective, &terms).unwrap();
        // Theirs counts epochs, of which there are 15.
        objective.anneal(number("epoch") / 15.0);
        let (logp, batch) = batch(&golden);
        let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
        for (ours, theirs) in [
            ("policy", "policy"),
            ("reference-kl", "reference"),
            ("view-kl", "perception"),
            ("entropy", "entropy"),
            ("view-entropy", "degraded_entropy"),
        ] {
            let part = loss.parts.iter().find(|(name, _)| name == ours);
            near(theirs, part.map_or(0.0, |(_, value)| *value), number(theirs));
        }
        near("loss", loss.total.to_scalar::<f64>().unwrap(), number("total"));
        let grads = loss.total.backward().unwrap();
        let grad = grads.get(&logp).unwrap().to_vec1::<f64>().unwrap();
        let expected = numbers(&want["gradient"]);
        assert_eq!(grad.len(), expected.len());
        for (n, (found, expected)) in grad.iter().zip(&expected).enumerate() {
            near(&format!("epoch {}, gradient of token {n}", want["epoch"]), *found, *expected);
        }
    }
}
