//! Models elsewhere than on the fast path of f32 on the CPU: the compositions in f32 and in bf16 here, and the same
//! laws on a GPU for those who have one: `cargo test --release --workspace --features cuda -- --ignored cuda`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device, Tensor, Var};
use foveate_trainer::Trainer;
use foveate_trainer::observer::Silent;
use foveate_trainer::optim::{AdamW, AdamWConfig, Gradients, Slot};
use foveate_trainer::recipe::from_text;
use foveate_vision::generate::{Generated, Sampling, generate};
use foveate_vision::lora::{LoraConfig, Target};
use foveate_vision::models::{Placement, VisionLanguageModel};
use foveate_vision::nn::GradSink;

#[path = "support/packs.rs"]
mod packs;

use packs::*;

fn on_the_cpu(dtype: DType) -> Placement {
    Placement { dtype, ..Placement::default() }
}

/// Calls `law` with a model on the fast path and the same one at `placement`, which runs the compositions.
fn beside_the_fast_path(
    placement: &Placement,
    law: impl Fn(&mut VisionLanguageModel, &mut VisionLanguageModel, &str),
) {
    every_family_on(placement, |here, there, family| {
        there.set_composed(true);
        law(here, there, family);
    });
}

/// Log-probabilities and every gradient at `placement` beside those of the fast path: the norms of their differences,
/// as a share of the norms, may be `tolerance`.
fn scores_as_here(placement: &Placement, tolerance: f64, adapted: bool) {
    beside_the_fast_path(placement, |here, there, family| {
        if adapted {
            let target_modules = Target::Pattern("all-linear".into());
            let config = LoraConfig { rank: 3, alpha: 5.0, target_modules, ..LoraConfig::default() };
            [&mut *here, &mut *there].into_iter().for_each(|model| model.add_adapter(&config, SEED).unwrap());
        }
        let pack = pack(&groups(here));
        for checkpoint in [false, true] {
            there.set_checkpointing(checkpoint);
            let (ours, theirs) = (GradSink::default(), GradSink::default());
            let (a, b) = (scored(here, &pack, 0, &ours), scored(there, &pack, 0, &theirs));
            apart(&a.0, &b.0, tolerance, &format!("{family}: log-probabilities"));
            apart(&a.1, &b.1, tolerance, &format!("{family}: entropies"));
            let (a, b) = (gradients(here, &ours), gradients(there, &theirs));
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{family}");
            // All parameters as one vector: of a single small one, bf16 may leave little.
            let (a, b): (Vec<f32>, Vec<f32>) =
                (a.into_values().flatten().collect(), b.into_values().flatten().collect());
            apart(&a, &b, 2.0 * tolerance, &format!("{family}: gradients, checkpointing {checkpoint}"));
        }
    });
}

fn apart(a: &[f32], b: &[f32], tolerance: f64, what: &str) {
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let relative = norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut a.iter().copied());
    assert!(a.len() == b.len() && relative <= tolerance, "{what}: {relative:e} > {tolerance:e}");
}

/// What is sampled has the log-probabilities that scoring gives.
fn decoding_equals_scoring(model: &VisionLanguageModel, tolerance: f32, family: &str) -> Vec<Generated> {
    let requests = requests(model);
    let rollouts = generate(model, &requests, &Sampling { max_tokens: 5, ..sampling() }).unwrap();
    let answers = |group: &Vec<Generated>| {
        group.iter().map(|rollout| foveate_vision::pack::Continuation::answer(&rollout.ids)).collect()
    };
    let groups: Vec<_> =
        requests.iter().zip(&rollouts).map(|(r, group)| (r.prompt.clone(), answers(group))).collect();
    let scored = model.token_logprobs(&pack(&groups), 1.0, None).unwrap().logp_n.to_vec1::<f32>().unwrap();
    let sampled: Vec<f32> = rollouts.iter().flatten().flat_map(|r| r.logp_raw.clone()).collect();
    assert_close(&sampled, &scored, tolerance, family);
    rollouts.concat()
}

/// In f32, rollouts at `placement` say the same tokens.
fn rollouts_as_here(placement: &Placement) {
    beside_the_fast_path(placement, |here, there, family| {
        let said = [here, there]
            .map(|model| decoding_equals_scoring(model, 1e-4, family))
            .map(|all| -> Vec<_> { all.into_iter().map(|said| said.ids).collect() });
        assert_eq!(said[0], said[1], "{family}");
    });
}

fn divergences_as_here(placement: &Placement, tolerance: f64) {
    beside_the_fast_path(placement, |here, there, family| {
        let of_one = pack(&groups(here)[..1]);
        let kl = |model: &VisionLanguageModel| -> Vec<f32> {
            let [p, q] = [0.8, 1.3].map(|heat| model.token_logprobs(&of_one, heat, None).unwrap());
            // The two differ in nothing but noise unless the heads read other rows.
            let q = foveate_vision::models::TokenLogprobs { hidden_nd: rolled(&q.hidden_nd), ..q };
            let kl_n = model.token_divergences(&p, (model, &q), [true, false], 0.8, None).unwrap();
            kl_n.to_vec1().unwrap()
        };
        apart(&kl(here), &kl(there), tolerance, family);
    });
}

/// The rows, each in its neighbour's place.
fn rolled(x: &Tensor) -> Tensor {
    let rows = x.dim(0).unwrap();
    let (first, rest) = (x.narrow(0, 0, 1).unwrap(), x.narrow(0, 1, rows - 1).unwrap());
    Tensor::cat(&[rest, first], 0).unwrap()
}

fn adapters_merge_as_here(placement: &Placement, tolerance: f64) {
    beside_the_fast_path(placement, |here, there, family| {
        let pack = pack(&groups(here)[..2]);
        let logp = |model: &mut VisionLanguageModel| -> Vec<f32> {
            model.add_adapter(&LoraConfig::default(), SEED).unwrap();
            for parameter in model.parameters().iter().filter(|parameter| parameter.adapter) {
                let raised = (parameter.var().as_tensor() + 0.02).unwrap();
                parameter.var().set(&raised).unwrap();
            }
            model.merge_adapter().unwrap();
            model.token_logprobs(&pack, 1.0, None).unwrap().logp_n.to_vec1().unwrap()
        };
        apart(&logp(here), &logp(there), tolerance, family);
    });
}

struct Ones;

impl Gradients for Ones {
    fn read(&self, _: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool {
        read(&[1.0; 8]);
        true
    }
}

/// Each step is a fifth of what bf16 resolves at 1.
fn masters_move_where_bf16_would_stand_still(device: &Device) {
    let var = Var::from_tensor(&Tensor::ones(8, DType::BF16, device).unwrap()).unwrap();
    let slot = Slot { name: "w".into(), var: var.clone(), decay: false, lr_scale: 1.0 };
    let mut optim = AdamW::new(vec![slot], AdamWConfig::default()).unwrap();
    for _ in 0..10 {
        optim.step(1e-3, &Ones).unwrap();
    }
    let now = var.as_tensor().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
    assert!(now.iter().all(|w| (w - 0.99).abs() < 0.004), "{now:?}");
}

/// A whole run of the method `name`, made small: supervised steps, two of reinforcement learning, an evaluation, a
/// checkpoint, and one step more from there. The loss of every step.
fn run(dir: &Path, name: &str, device: &str, dtype: &str) -> Vec<f64> {
    let recipes = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recipes");
    let text = std::fs::read_to_string(format!("{recipes}/{name}.toml")).unwrap();
    let out = dir.join(format!("{name}-{device}-{dtype}").replace(':', "-"));
    let mut words: Vec<String> = [
        "rollout.prompts=4",
        "rollout.group=3",
        "data.size=56",
        "warmup.steps=3",
        "warmup.images=4",
        "train.steps=2",
        "eval=[{task=\"shapes\", corruptions=[\"fog\"], limit=4}]",
    ]
    .map(String::from)
    .to_vec();
    words.push(format!("out={:?}", out.to_str().unwrap()));
    words.push(format!("model.device={device:?}"));
    words.push(format!("model.dtype={dtype:?}"));
    let recipe = from_text(&text, &format!("{name}.toml"), &words).unwrap();
    let stop = AtomicBool::new(false);
    Trainer::start(recipe).unwrap().run(&stop, &mut Silent).unwrap();
    Trainer::resume(&out, &["train.steps=3".into()]).unwrap().run(&stop, &mut Silent).unwrap();
    let lines = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["loss/total"].as_f64()).collect()
}

/// A run elsewhere has the supervised losses of one here, which see the same answers, within `tolerance`; what is
/// sampled may differ by then.
fn runs_as_here(names: &[&str], device: &str, dtype: &str, tolerance: f64) {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let (here, there) = (run(dir.path(), name, "cpu", "f32"), run(dir.path(), name, device, dtype));
        assert_eq!((here.len(), there.len()), (6, 6), "{name}: {here:?} {there:?}");
        for (here, there) in here.iter().zip(&there).take(3) {
            assert!((here - there).abs() <= tolerance * here.abs().max(1.0), "{name}: {here} {there}");
        }
        assert!(there.iter().all(|loss| loss.is_finite()), "{name}: {there:?}");
    }
}

#[test]
fn compositions_in_f32_are_the_fast_path() {
    let placement = on_the_cpu(DType::F32);
    for adapted in [false, true] {
        scores_as_here(&placement, 1e-5, adapted);
    }
    rollouts_as_here(&placement);
    divergences_as_here(&placement, 1e-5);
    adapters_merge_as_here(&placement, 1e-5);
}

#[test]
fn bf16_is_near_f32() {
    let placement = on_the_cpu(DType::BF16);
    for adapted in [false, true] {
        scores_as_here(&placement, 0.06, adapted);
    }
    divergences_as_here(&placement, 0.06);
    adapters_merge_as_here(&placement, 0.06);
    beside_the_fast_path(&placement, |_, there, family| {
        decoding_equals_scoring(there, 0.2, family);
    });
}

#[test]
fn bf16_has_f32_masters() {
    masters_move_where_bf16_would_stand_still(&Device::Cpu);
}

#[test]
fn bf16_trains() {
    runs_as_here(&["grpo", "papo-roma"], "cpu", "bf16", 0.03);
}

#[test]
fn a_device_that_is_not_there_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    // No machine has so many; without the feature no machine has any.
    let words = [format!("out={:?}", out.to_str().unwrap()), "model.device=\"cuda:4095\"".into()];
    let recipe = from_text("", "r.toml", &words).unwrap();
    let error = Trainer::start(recipe).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("cuda:4095"), "{error}");
    assert!(!out.exists());
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;

    fn gpu(dtype: DType) -> Placement {
        Placement { device: Device::new_cuda(0).unwrap(), dtype }
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_scores_and_gradients_equal_the_cpus() {
        for adapted in [false, true] {
            scores_as_here(&gpu(DType::F32), 1e-4, adapted);
        }
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_in_bf16_is_near_f32() {
        for adapted in [false, true] {
            scores_as_here(&gpu(DType::BF16), 0.06, adapted);
        }
        divergences_as_here(&gpu(DType::BF16), 0.06);
        adapters_merge_as_here(&gpu(DType::BF16), 0.06);
        beside_the_fast_path(&gpu(DType::BF16), |_, there, family| {
            decoding_equals_scoring(there, 0.2, family);
        });
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_rollouts_equal_the_cpus() {
        rollouts_as_here(&gpu(DType::F32));
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_divergences_equal_the_cpus() {
        divergences_as_here(&gpu(DType::F32), 1e-4);
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_adapters_merge_as_on_the_cpu() {
        adapters_merge_as_here(&gpu(DType::F32), 1e-4);
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_masters_move_where_bf16_would_stand_still() {
        masters_move_where_bf16_would_stand_still(&Device::new_cuda(0).unwrap());
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_runs_train_as_on_the_cpu() {
        let methods = ["grpo", "papo-g", "roma", "papo-roma"];
        runs_as_here(&methods, "cuda:0", "f32", 1e-3);
        runs_as_here(&methods, "cuda", "bf16", 0.03);
    }
}
