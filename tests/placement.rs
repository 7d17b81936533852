//! Models elsewhere than in f32 on the CPU: bf16 here, and everything again on a GPU for those who have one:
//! `cargo test --release --features cuda -- --ignored cuda`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use candle_core::DType;
use foveate_vision::generate::{Generated, Sampling, generate};
use foveate_vision::lora::{LoraConfig, Target};
use foveate_vision::models::{Placement, VisionLanguageModel};
use foveate_vision::nn::GradSink;

#[path = "support/packs.rs"]
mod packs;

use packs::*;

/// Log-probabilities and every gradient at `there` beside those in f32 on the CPU: the norms of their differences, as a
/// share of the norms, may be `tolerance`.
fn scores_as_here(placement: &Placement, tolerance: f64, adapted: bool) {
    every_family_on(placement, |here, there, family| {
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

/// What is sampled at `there` has the log-probabilities that scoring it there gives.
fn decoding_equals_scoring(there: &VisionLanguageModel, tolerance: f32, family: &str) -> Vec<Generated> {
    let requests = requests(there);
    let rollouts = generate(there, &requests, &Sampling { max_tokens: 5, ..sampling() }).unwrap();
    let answers = |group: &Vec<Generated>| {
        group.iter().map(|rollout| foveate_vision::pack::Continuation::answer(&rollout.ids)).collect()
    };
    let groups: Vec<_> =
        requests.iter().zip(&rollouts).map(|(r, group)| (r.prompt.clone(), answers(group))).collect();
    let scored = there.token_logprobs(&pack(&groups), 1.0, None).unwrap().logp_n.to_vec1::<f32>().unwrap();
    let sampled: Vec<f32> = rollouts.iter().flatten().flat_map(|r| r.logp_raw.clone()).collect();
    assert_close(&sampled, &scored, tolerance, family);
    rollouts.concat()
}

#[test]
fn bf16_is_near_f32() {
    let placement = Placement { dtype: DType::BF16, ..Placement::default() };
    for adapted in [false, true] {
        scores_as_here(&placement, 0.06, adapted);
    }
    every_family_on(&placement, |_, there, family| {
        decoding_equals_scoring(there, 0.2, family);
    });
}

#[cfg(feature = "cuda")]
mod cuda {
    use super::*;
    use candle_core::{Device, Tensor};
    use foveate_trainer::Trainer;
    use foveate_trainer::observer::Silent;
    use foveate_trainer::optim::{AdamW, AdamWConfig, Slot};
    use foveate_trainer::recipe::from_text;
    use std::sync::atomic::AtomicBool;

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
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_rollouts_equal_the_cpus() {
        every_family_on(&gpu(DType::F32), |here, there, family| {
            let (here, there) =
                (decoding_equals_scoring(here, 1e-4, family), decoding_equals_scoring(there, 1e-4, family));
            let ids = |all: &[Generated]| all.iter().map(|said| said.ids.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&here), ids(&there), "{family}");
        });
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_divergences_equal_the_cpus() {
        every_family_on(&gpu(DType::F32), |here, there, family| {
            let views = [groups(here), groups(here)].map(|groups| pack(&groups[..1]));
            let kl = |model: &VisionLanguageModel| -> Vec<f32> {
                let [p, q] = [0.8, 1.3].map(|heat| model.token_logprobs(&views[0], heat, None).unwrap());
                let kl_n = model.token_divergences(&p, (model, &q), [true, false], 0.8, None).unwrap();
                kl_n.to_vec1().unwrap()
            };
            assert_close(&kl(here), &kl(there), 1e-5, family);
        });
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_adapters_merge_as_on_the_cpu() {
        every_family_on(&gpu(DType::F32), |here, there, family| {
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
            assert_close(&logp(here), &logp(there), 1e-4, family);
        });
    }

    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_masters_move_where_bf16_would_stand_still() {
        let device = Device::new_cuda(0).unwrap();
        let ones = Tensor::ones(8, DType::BF16, &device).unwrap();
        let var = candle_core::Var::from_tensor(&ones).unwrap();
        let slot = Slot { name: "w".into(), var: var.clone(), decay: false, lr_scale: 1.0 };
        let mut optim = AdamW::new(vec![slot], AdamWConfig::default()).unwrap();
        struct One;
        impl foveate_trainer::optim::Gradients for One {
            fn read(&self, _: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool {
                read(&[1.0; 8]);
                true
            }
        }
        // Each step is a fifth of what bf16 resolves at 1.
        for _ in 0..10 {
            optim.step(1e-3, &One).unwrap();
        }
        let now = var.as_tensor().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        assert!(now.iter().all(|w| (w - 0.99).abs() < 0.004), "{now:?}");
    }

    /// Every method's terms on the GPU: the first step's numbers are the CPU's.
    #[test]
    #[ignore = "needs an NVIDIA GPU"]
    fn cuda_runs_train_as_on_the_cpu() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/recipes");
        let dir = tempfile::tempdir().unwrap();
        for name in ["grpo", "papo-g", "roma", "papo-roma"] {
            let text = std::fs::read_to_string(format!("{folder}/{name}.toml")).unwrap();
            let run = |device: &str, dtype: &str| {
                let out = dir.path().join(format!("{name}-{device}-{dtype}").replace(':', "-"));
                let words = [
                    format!("out={:?}", out.to_str().unwrap()),
                    format!("model.device={device:?}"),
                    format!("model.dtype={dtype:?}"),
                    "rollout.prompts=4".into(),
                    "rollout.group=3".into(),
                    "data.size=56".into(),
                    "warmup.steps=3".into(),
                    "train.steps=1".into(),
                    "eval=[]".into(),
                ];
                let recipe = from_text(&text, &format!("{name}.toml"), &words).unwrap();
                Trainer::start(recipe).unwrap().run(&AtomicBool::new(false), &mut Silent).unwrap();
                let lines = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
                let lines: Vec<serde_json::Value> =
                    lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
                lines.iter().map(|line| line["loss/total"].as_f64().unwrap()).collect::<Vec<_>>()
            };
            let (cpu, gpu, half) = (run("cpu", "f32"), run("cuda:0", "f32"), run("cuda:0", "bf16"));
            // The supervised steps see the same answers; sampled ones may differ by then.
            for step in 0..3 {
                assert!(
                    (cpu[step] - gpu[step]).abs() < 1e-3 * cpu[step].abs().max(1.0),
                    "{name}: {cpu:?} {gpu:?}"
                );
            }
            assert!(half.iter().all(|loss| loss.is_finite()), "{name}: {half:?}");
        }
    }
}
