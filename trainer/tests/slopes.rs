//! Every term through the whole of a tiny model: its gradient is a finite difference of the loss; the two
//! ways of running views agree; a token that does not count changes nothing, nor does the way in which a
//! mini-batch is cut.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{DType, Tensor};
use foveate_datasets::{Grade, Sample};
use foveate_objectives::{Objective, ObjectiveSpec, TermSpec};
use foveate_trainer::micro::{self, Micro};
use foveate_trainer::reward::Scored;
use foveate_trainer::rollout::{Group, Rollout};
use foveate_trainer::update::Updater;
use foveate_vision::config::Family;
use foveate_vision::images::Patches;
use foveate_vision::models::{Parameter, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::processor::Prompt;
use foveate_vision::tiny::{self, TinySpec};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Model {
    policy: VisionLanguageModel,
    /// The same architecture with other weights.
    reference: VisionLanguageModel,
    groups: Vec<Group>,
}

fn hash(a: usize, b: usize) -> usize {
    (a.wrapping_mul(0x9e37_79b9) ^ b.wrapping_mul(0x85eb_ca6b)) >> 3
}

impl Model {
    fn new() -> Self {
        let load = |seed| {
            let dir = tempfile::tempdir().unwrap();
            tiny::write(dir.path(), &TinySpec { seed, ..TinySpec::laws(Family::Qwen2_5Vl) }).unwrap();
            VisionLanguageModel::load(dir.path()).unwrap()
        };
        let (policy, reference) = (load(1), load(2));
        reference.set_trainable(&[]);
        let groups = (0..3).map(|g| group(&policy, g)).collect();
        Self { policy, reference, groups }
    }

    fn prompt(policy: &VisionLanguageModel, group: usize, look: usize) -> Arc<Prompt> {
        let (config, vision) = (policy.config(), &policy.config().vision);
        let patch_dim = vision.channels * vision.patch_size * vision.patch_size;
        let values = (0..4 * 4 * patch_dim).map(|i| (hash(i, 7 * group + look) % 512) as f32 / 256.0 - 1.0);
        let image = Patches { values_np: values.collect(), grid_thw: [1, 4, 4], patch_dim };
        let mut input_ids = vec![5, 9, config.vision_start_token_id];
        input_ids.extend(vec![config.image_token_id; image.image_tokens(vision.merge_size)]);
        input_ids.extend([config.vision_end_token_id, 20 + group as u32, 7]);
        Arc::new(Prompt { input_ids, images: vec![Arc::new(image)] })
    }
}

/// Three answers, two of them right in the first groups, none in the last; one of them cut off.
fn group(policy: &VisionLanguageModel, g: usize) -> Group {
    let rollout = |i: usize| Rollout {
        ids: (0..2 + (g + i) % 3).map(|t| (hash(t + 10 * i, g) % 200) as u32).collect(),
        text: String::new(),
        logp_tempered: vec![],
        finished: !(g == 1 && i == 2),
        heard: vec![],
        untrained: 0,
        grade: Grade::of(g < 2 && i < 2, ""),
        scored: Scored { total: 0.0, parts: vec![] },
    };
    Group {
        sample: Sample {
            id: g.to_string(),
            problem: String::new(),
            answer: String::new(),
            choices: vec![],
            images: vec![],
            meta: serde_json::Map::new(),
        },
        prompt: Model::prompt(policy, g, 0),
        views: [("a", 1), ("b", 2)].map(|(n, look)| (n.into(), Model::prompt(policy, g, look))).to_vec(),
        rollouts: (0..3).map(rollout).collect(),
    }
}

fn objective(terms: &[Value]) -> Objective {
    let terms: Vec<TermSpec> = terms.iter().map(|t| serde_json::from_value(t.clone()).unwrap()).collect();
    Objective::new(&ObjectiveSpec::default(), &terms).unwrap()
}

/// What a mini-batch's pass is asked.
#[derive(Clone, Copy)]
struct Ask {
    budget: usize,
    lean: bool,
    old: bool,
    /// Credits; 0 leaves the term alone.
    credit: f64,
}

const PLAIN: Ask = Ask { budget: 100_000, lean: false, old: false, credit: 0.0 };

impl Model {
    fn micros(&self, ask: Ask) -> Vec<Micro> {
        let credits =
            [[1.0, -0.5, 0.3], [0.2, 0.9, -1.0], [-0.4, 0.1, 0.6]].map(|g| g.map(|c| c * ask.credit));
        let credited: Vec<(&Group, &[f64])> =
            self.groups.iter().zip(credits.iter().map(|c| &c[..])).collect();
        micro::pack(&credited, ask.budget, true).unwrap()
    }

    fn updater<'a>(&'a self, objective: &'a Objective, sink: &'a GradSink, lean: bool) -> Updater<'a> {
        Updater {
            model: &self.policy,
            reference: Some(&self.reference),
            objective,
            // Mild: log-probabilities of a model made of noise are far apart at 1.
            temperature: 4.0,
            sink,
            picked: Some("b"),
            lean,
            reducer: None,
        }
    }

    /// The loss and the gradient by parameter.
    fn pass(&self, objective: &Objective, ask: Ask) -> (f64, BTreeMap<String, Vec<f32>>) {
        let sink = GradSink::default();
        let updater = self.updater(objective, &sink, ask.lean);
        let mut micros = self.micros(ask);
        if ask.old {
            updater.remember(&mut micros).unwrap();
        }
        let (finite, metrics) = updater.gradients(&micros).unwrap();
        assert!(finite);
        let read = |p: &Parameter| sink.read(p.var(), |grad| (p.name.clone(), grad.to_vec()));
        (metrics.get("loss/total").unwrap(), self.policy.parameters().iter().filter_map(read).collect())
    }
}

fn norm(grads: &BTreeMap<String, Vec<f32>>) -> f64 {
    grads.values().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
}

/// The relative distance of two gradients.
fn apart(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>) -> f64 {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let squares = a.values().flatten().zip(b.values().flatten()).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt() / norm(a).max(1e-12)
}

/// Every term, in the settings that recipes use. The last says whether the loss's slope is the gradient:
/// where one branch is a constant it is not, since the slope moves it too.
fn terms() -> Vec<(Value, bool)> {
    let one = |value: Value, slope: bool| (value, slope);
    vec![
        one(json!({"name": "reference-kl"}), true),
        one(json!({"name": "reference-kl", "estimator": "full"}), true),
        one(json!({"name": "entropy"}), true),
        one(json!({"name": "entropy", "kind": "sampled"}), true),
        one(json!({"name": "likelihood"}), true),
        one(json!({"name": "view-kl", "views": ["a"], "through": "both"}), true),
        one(json!({"name": "view-kl", "views": ["a", "b"], "through": "both", "scope": "correct"}), true),
        one(json!({"name": "view-kl", "views": ["a"], "estimator": "full", "through": "both"}), true),
        one(json!({"name": "view-kl", "views": ["a", "b"], "through": "view", "scope": "correct"}), false),
        one(json!({"name": "view-kl", "views": ["a", "b"], "through": "view", "worst": "sequence"}), false),
        one(json!({"name": "view-kl", "views": ["a"], "fidelity": "authors"}), false),
        one(json!({"name": "view-kl", "views": ["a"], "fidelity": "paper"}), false),
        one(json!({"name": "view-kl", "views": ["a"], "estimator": "full", "through": "view"}), false),
        one(json!({"name": "view-kl", "views": ["a"], "estimator": "full", "through": "clean"}), false),
        one(json!({"name": "view-entropy", "view": "a", "gradient": true}), true),
        one(json!({"name": "view-entropy", "view": "a", "gradient": true, "kind": "full"}), true),
        one(json!({"name": "view-policy", "view": "picked", "scope": "correct"}), true),
    ]
}

/// `θ + h · u`, along the gradient.
fn shift(model: &VisionLanguageModel, along: &BTreeMap<String, Vec<f32>>, h: f64) {
    for p in model.parameters() {
        let Some(grad) = along.get(&p.name) else { continue };
        let step = Tensor::from_slice(grad, p.var().shape(), p.var().device()).unwrap();
        let moved = (p.var().as_tensor() + (step.to_dtype(DType::F32).unwrap() * h).unwrap()).unwrap();
        p.var().set(&moved.detach()).unwrap();
    }
}

#[test]
fn the_gradient_of_every_term_is_the_slope_through_the_model() {
    let (model, mut faults) = (Model::new(), Vec::new());
    for (term, slope) in terms().into_iter().filter(|(_, slope)| *slope) {
        // Old values come from these weights; credits give the auxiliary policy gradient something to do.
        let credit = if term["name"] == "view-policy" { 1.0 } else { 0.0 };
        let ask = Ask { credit, ..PLAIN };
        let objective = objective(std::slice::from_ref(&term));
        let sink = GradSink::default();
        let updater = model.updater(&objective, &sink, false);
        let mut micros = model.micros(ask);
        updater.remember(&mut micros).unwrap();
        let loss = || updater.gradients(&micros).unwrap().1.get("loss/total").unwrap();
        let (_, grads) = model.pass(&objective, Ask { old: true, ..ask });
        let length = norm(&grads);
        assert!(slope && length > 1e-4, "{term}: the gradient is {length:e} long");
        // Along the gradient the slope is its length; f32 leaves about four digits of a difference.
        let along = |h: f64| {
            shift(&model.policy, &grads, h / length);
            let high = loss();
            shift(&model.policy, &grads, -2.0 * h / length);
            let low = loss();
            shift(&model.policy, &grads, h / length);
            (high - low) / (2.0 * h)
        };
        let h = (0.004 / length).min(0.004);
        let (wide, near) = (along(h), along(h / 2.0));
        let found = (4.0 * near - wide) / 3.0;
        if (found / length - 1.0).abs() > 5e-3 {
            faults.push(format!("{term}: slope {found}, gradient {length}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn lean_views_give_the_same_gradient() {
    let model = Model::new();
    for (term, _) in terms() {
        if term["estimator"] == "full" && term["through"] != "clean" && term["name"] == "view-kl" {
            continue;
        }
        let objective = objective(&[term.clone(), json!({"name": "entropy", "weight": -0.01})]);
        for old in [false, true] {
            let ask = Ask { credit: 1.0, old, ..PLAIN };
            let (loss, whole) = model.pass(&objective, ask);
            let (lean_loss, lean) = model.pass(&objective, Ask { lean: true, ..ask });
            assert!((loss - lean_loss).abs() < 1e-6 * loss.abs().max(1.0), "{term}: {loss} and {lean_loss}");
            let apart = apart(&whole, &lean);
            assert!(apart < 1e-5, "{term}, old {old}: gradients differ by {apart:e}");
        }
    }
}

#[test]
fn cutting_the_mini_batch_changes_nothing() {
    let model = Model::new();
    for (term, _) in terms() {
        let objective = objective(std::slice::from_ref(&term));
        let ask = Ask { credit: 1.0, ..PLAIN };
        let (loss, whole) = model.pass(&objective, ask);
        for budget in [1, 24] {
            let (other, parts) = model.pass(&objective, Ask { budget, ..ask });
            let same = (loss - other).abs() < 1e-6 * loss.abs().max(1.0);
            assert!(same, "{term}: {loss} whole, {other} in passes of {budget}");
            let apart = apart(&whole, &parts);
            assert!(apart < 1e-5, "{term}: gradients differ by {apart:e} in passes of {budget}");
        }
    }
}

#[test]
fn a_token_that_does_not_count_changes_nothing() {
    let (model, mut other) = (Model::new(), Model::new());
    // The last answer of the second group was cut off; its tokens are scored but masked.
    let cut = &mut other.groups[1].rollouts[2];
    assert!(!cut.finished);
    cut.ids.iter_mut().for_each(|id| *id = (*id + 71) % 200);
    for (term, _) in terms() {
        let objective = objective(std::slice::from_ref(&term));
        let ask = Ask { credit: 1.0, ..PLAIN };
        let ((a, one), (b, two)) = (model.pass(&objective, ask), other.pass(&objective, ask));
        assert_eq!(a, b, "{term}");
        let apart = apart(&one, &two);
        assert!(apart < 1e-6, "{term}: gradients differ by {apart:e}");
    }
}

#[test]
fn terms_reach_the_weights_and_without_weight_are_absent() {
    let model = Model::new();
    let ask = Ask { credit: 1.0, ..PLAIN };
    let (loss, bare) = model.pass(&objective(&[]), ask);
    for (mut term, _) in terms() {
        let (_, with) = model.pass(&objective(std::slice::from_ref(&term)), ask);
        let moved = apart(&bare, &with);
        assert!(moved > 1e-5, "{term} changes the gradient by {moved:e} only");
        term["weight"] = 0.0.into();
        let (same_loss, same) = model.pass(&objective(std::slice::from_ref(&term)), ask);
        assert!(loss == same_loss && bare == same, "{term} of weight 0 changes something");
    }
}

#[test]
fn the_perception_kl_rises_from_update_to_update() {
    use foveate_trainer::optim::{AdamW, AdamWConfig, Slot};
    let model = Model::new();
    let term = json!({"name": "view-kl", "views": ["a"], "through": "both", "weight": -1.0});
    let (objective, sink) = (objective(&[term]), GradSink::default());
    let slots = model.policy.parameters().iter().map(Slot::from).collect();
    let mut optim = AdamW::new(slots, AdamWConfig::default()).unwrap();
    let micros = model.micros(PLAIN);
    let mut kl = Vec::new();
    for _ in 0..8 {
        let (finite, mut metrics) = model.updater(&objective, &sink, false).gradients(&micros).unwrap();
        kl.push(metrics.get("term/view-kl/mean").unwrap());
        foveate_trainer::update::apply(finite, &mut optim, &sink, 1e-4, &mut metrics).unwrap();
    }
    assert!(kl[7] > kl[0] && kl[7] > kl[3], "{kl:?}");
}

/// Gradients with one number that is none, in the gradient of one variable.
struct Poisoned<'a>(&'a GradSink, Tensor);

impl foveate_trainer::optim::Gradients for Poisoned<'_> {
    fn read(&self, var: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool {
        let poison = |grad: &[f32]| {
            let mut grad = grad.to_vec();
            if var.id() == self.1.id() {
                grad[0] = f32::NAN;
            }
            read(&grad);
        };
        self.0.read(var, poison).is_some()
    }
}

#[test]
fn a_number_that_is_not_finite_in_a_view_or_a_gradient_skips_the_update() {
    use foveate_trainer::optim::{AdamW, AdamWConfig, Slot};
    let mut model = Model::new();
    let weights = |m: &Model| -> Vec<Vec<f32>> {
        let read = |p: &Parameter| p.var().as_tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        m.policy.parameters().iter().map(read).collect()
    };
    let slots = model.policy.parameters().iter().map(Slot::from).collect();
    let mut optim = AdamW::new(slots, AdamWConfig::default()).unwrap();
    let before = weights(&model);
    // A gradient: the loss is finite, one weight's gradient is not.
    let whole = objective(&[json!({"name": "view-kl", "views": ["a"], "through": "view"})]);
    let sink = GradSink::default();
    let (finite, mut metrics) = model.updater(&whole, &sink, false).gradients(&model.micros(PLAIN)).unwrap();
    assert!(finite);
    let poisoned = Poisoned(&sink, model.policy.parameters()[3].var().as_tensor().clone());
    let update = foveate_trainer::update::apply(finite, &mut optim, &poisoned, 1e-3, &mut metrics).unwrap();
    assert!(!update.applied && metrics.get("grad_norm").unwrap().is_nan());
    assert!(before == weights(&model));
    // A view: one value of one corrupted image.
    let (_, prompt) = &mut model.groups[0].views[0];
    let mut image = (*prompt.images[0]).clone();
    image.values_np[3] = f32::NAN;
    *prompt = Arc::new(Prompt { input_ids: prompt.input_ids.clone(), images: vec![Arc::new(image)] });
    for lean in [false, true] {
        let (finite, mut metrics) =
            model.updater(&whole, &sink, lean).gradients(&model.micros(PLAIN)).unwrap();
        let update = foveate_trainer::update::apply(finite, &mut optim, &sink, 1e-3, &mut metrics).unwrap();
        assert!(!finite && !update.applied, "lean {lean}");
        assert!(before == weights(&model));
    }
}
