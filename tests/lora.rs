//! Adapters: exact for every family, the same as PEFT's, and nothing of the model changed by them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests may panic, also in their helpers

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use foveate_vision::generate::{Generated, generate};
use foveate_vision::lora::{LoraConfig, Target};
use foveate_vision::models::{Parameter, VisionLanguageModel};
use foveate_vision::nn::GradSink;
use foveate_vision::pack::{Continuation, Pack};

#[path = "support/packs.rs"]
mod packs;
#[path = "support/parity.rs"]
mod parity;

use packs::*;

/// Every linear layer, so that every place an adapter may be in is tested.
fn everywhere() -> LoraConfig {
    LoraConfig {
        rank: 3,
        alpha: 5.0,
        target_modules: Target::Pattern("all-linear".into()),
        ..LoraConfig::default()
    }
}

fn adapter(model: &VisionLanguageModel) -> impl Iterator<Item = &Parameter> {
    model.parameters().iter().filter(|parameter| parameter.adapter)
}

/// Gives every matrix of the adapter values that matter; a fresh one changes nothing.
fn stir(model: &VisionLanguageModel) {
    for (at, parameter) in adapter(model).enumerate() {
        let count = parameter.var().elem_count();
        let values: Vec<f32> =
            (0..count).map(|i| ((hash(i, at + 5) % 1000) as f32 / 500.0 - 1.0) * 0.15).collect();
        let values = Tensor::from_vec(values, parameter.var().shape(), &Device::Cpu).unwrap();
        parameter.var().set(&values).unwrap();
    }
}

/// Calls `law` with a model of every family and an adapter on all of its linear layers.
fn every_family_adapted(law: impl Fn(&mut VisionLanguageModel, &str)) {
    every_family(|model, family| {
        model.add_adapter(&everywhere(), SEED).unwrap();
        stir(model);
        law(model, family);
    });
}

fn logp(model: &VisionLanguageModel, pack: &Pack) -> Vec<f32> {
    model.token_logprobs(pack, 0.8, None).unwrap().logp_n.to_vec1().unwrap()
}

fn base(model: &VisionLanguageModel) -> BTreeMap<String, Vec<f32>> {
    let values = |p: &Parameter| p.var().as_tensor().flatten_all().unwrap().to_vec1().unwrap();
    let base = model.parameters().iter().filter(|parameter| !parameter.adapter);
    base.map(|parameter| (parameter.name.clone(), values(parameter))).collect()
}

#[test]
fn a_new_adapter_changes_nothing_to_the_bit() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        let (before, weights) = (logp(model, &pack), base(model));
        let rollouts = generate(model, &requests(model), &sampling()).unwrap();
        model.add_adapter(&everywhere(), SEED).unwrap();
        assert!(logp(model, &pack) == before && base(model) == weights, "{family}");
        assert!(generate(model, &requests(model), &sampling()).unwrap() == rollouts, "{family}");
        // As in PEFT: uniform within 1/sqrt(inputs), and zero.
        for parameter in adapter(model) {
            let values = parameter.var().as_tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let most = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            let bound = 1.0 / (parameter.pieces[0].1[1] as f32).sqrt();
            match parameter.name.ends_with("lora_A.weight") {
                true => assert!(most <= bound && most > 0.8 * bound, "{family} {}: {most}", parameter.name),
                false => assert!(most == 0.0, "{family} {}", parameter.name),
            }
        }
        assert!(model.add_adapter(&everywhere(), SEED).is_err(), "{family}: a second adapter");
    });
}

#[test]
fn a_pack_equals_each_sequence_alone() {
    every_family_adapted(|model, family| {
        let groups = groups(model);
        let (whole, alone) = (GradSink::default(), GradSink::default());
        let (logp, _) = scored(model, &pack(&groups), 0, &whole);
        let mut first = 0;
        for (prompt, completions) in &groups {
            for completion in completions {
                let one = pack(&[(prompt.clone(), vec![completion.clone()])]);
                let (own, _) = scored(model, &one, first, &alone);
                assert_close(&own, &logp[first..first + own.len()], 1e-5, family);
                first += own.len();
            }
        }
        assert_gradients(&gradients(model, &whole), &gradients(model, &alone), family);
    });
}

#[test]
fn the_fast_path_equals_the_composition_also_where_it_drops() {
    every_family(|model, family| {
        let config = LoraConfig { dropout: 0.3, ..everywhere() };
        model.add_adapter(&config, SEED).unwrap();
        stir(model);
        let pack = pack(&groups(model));
        let without = logp(model, &pack);
        for seed in [None, Some(1), Some(2)] {
            let (fast, composed) = (GradSink::default(), GradSink::default());
            model.set_dropout(seed);
            let (fast_logp, _) = scored(model, &pack, 0, &fast);
            model.set_composed(true);
            model.set_dropout(seed);
            let (logp, _) = scored(model, &pack, 0, &composed);
            model.set_composed(false);
            assert_close(&fast_logp, &logp, 2e-5, family);
            // As for log-probabilities twice the tolerance of a pack: a matrix of rank 3 has few sums to average over.
            assert_gradients_within(&gradients(model, &fast), &gradients(model, &composed), 2e-5, family);
            assert_eq!(fast_logp == without, seed.is_none(), "{family}: seed {seed:?}");
            // Without gradients nothing is dropped.
            assert!(self::logp(model, &pack) == without, "{family}");
        }
    });
}

#[test]
fn checkpointing_and_threads_change_nothing_and_every_pass_drops_anew() {
    every_family(|model, family| {
        model.add_adapter(&LoraConfig { dropout: 0.3, ..everywhere() }, SEED).unwrap();
        stir(model);
        let pack = pack(&groups(model));
        let run = |model: &VisionLanguageModel, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let sink = GradSink::default();
            model.set_dropout(Some(4));
            let passes = pool.install(|| [scored(model, &pack, 0, &sink), scored(model, &pack, 0, &sink)]);
            assert!(passes[0] != passes[1], "{family}: two passes of one seed drop the same");
            (passes, gradients(model, &sink))
        };
        let kept = run(model, 1);
        assert!(kept == run(model, 3), "{family}: threads");
        model.set_checkpointing(true);
        assert!(kept == run(model, 1), "{family}: checkpointing");
    });
}

#[test]
fn every_matrix_learns_and_the_model_has_no_gradient() {
    every_family(|model, family| {
        model.add_adapter(&everywhere(), SEED).unwrap();
        let pack = pack(&groups(model));
        // At first only the second matrices: the first ones' changes are multiplied by zero.
        for stirred in [false, true] {
            if stirred {
                stir(model);
            }
            let sink = GradSink::default();
            scored(model, &pack, 0, &sink);
            for parameter in model.parameters() {
                let grad = sink.read(parameter.var(), |grad| grad.to_vec());
                assert_eq!(grad.is_some(), parameter.adapter, "{family} {}", parameter.name);
                let Some(grad) = grad else { continue };
                assert!(grad.iter().all(|g| g.is_finite()), "{family} {}", parameter.name);
                let learns = stirred || parameter.name.ends_with("lora_B.weight");
                assert_eq!(grad.iter().any(|g| *g != 0.0), learns, "{family} {}", parameter.name);
            }
        }
    });
}

/// Σ weight · log-probability in f64, whose slope is to be known better than f32 sums it.
fn weighted(model: &VisionLanguageModel, pack: &Pack) -> f64 {
    let weight = |i: usize| (hash(i, 3) % 100) as f64 / 50.0 - 0.7;
    logp(model, pack).iter().enumerate().map(|(i, logp)| weight(i) * f64::from(*logp)).sum()
}

#[test]
fn the_gradient_is_the_slope() {
    every_family_adapted(|model, family| {
        let pack = pack(&groups(model)[..2]);
        let sink = GradSink::default();
        let out = model.token_logprobs(&pack, 0.8, Some(&sink)).unwrap();
        let n = pack.targets_n.len();
        let weights: Vec<f32> = (0..n).map(|i| (hash(i, 3) % 100) as f32 / 50.0 - 0.7).collect();
        let weights = Tensor::from_vec(weights, n, &Device::Cpu).unwrap();
        model.backward(&(&out.logp_n * weights).unwrap().sum_all().unwrap(), &sink).unwrap();
        // Along the gradient of one kind of matrix at a time, scaled to a step that f32 resolves.
        for letter in ["lora_A.weight", "lora_B.weight"] {
            let all: Vec<_> = adapter(model).filter(|p| p.name.ends_with(letter)).collect();
            let grads: Vec<Vec<f32>> =
                all.iter().map(|p| sink.read(p.var(), |grad| grad.to_vec()).unwrap()).collect();
            let square: f64 = grads.iter().flatten().map(|g| f64::from(*g).powi(2)).sum();
            let starts: Vec<Tensor> = all.iter().map(|p| p.var().as_tensor().copy().unwrap()).collect();
            let step = 2e-2 / square.sqrt();
            let at = |along: f64| {
                for ((parameter, grad), start) in all.iter().zip(&grads).zip(&starts) {
                    let grad = Tensor::from_slice(grad, start.shape(), &Device::Cpu).unwrap();
                    parameter.var().set(&(start + (grad * along).unwrap()).unwrap()).unwrap();
                }
                weighted(model, &pack)
            };
            let slope = (at(step) - at(-step)) / (2.0 * step);
            at(0.0);
            assert!((slope / square - 1.0).abs() < 5e-3, "{family} {letter}: {slope} and {square}");
        }
    });
}

#[test]
fn decoding_equals_scoring() {
    every_family_adapted(|model, family| {
        let requests = requests(model);
        let rollouts = generate(model, &requests, &sampling()).unwrap();
        let answers = |group: &Vec<Generated>| group.iter().map(|r| Continuation::answer(&r.ids)).collect();
        let groups: Vec<_> =
            requests.iter().zip(&rollouts).map(|(r, group)| (r.prompt.clone(), answers(group))).collect();
        let sampled: Vec<f32> = rollouts.iter().flatten().flat_map(|r| r.logp_raw.clone()).collect();
        let scored = model.token_logprobs(&pack(&groups), 1.0, None).unwrap().logp_n.to_vec1().unwrap();
        assert_close(&sampled, &scored, 2e-5, family);
        let plain = model.without_adapter();
        assert!(generate(&plain, &requests, &sampling()).unwrap() != rollouts, "{family}: changes nothing");
        // A rollout does not know its batch.
        for (request, group) in requests.iter().zip(&rollouts) {
            let alone = generate(model, std::slice::from_ref(request), &sampling()).unwrap();
            assert_eq!(&alone[0], group, "{family}");
        }
    });
}

#[test]
fn merged_equals_apart_and_unmerging_gives_the_bytes_back() {
    every_family(|model, family| {
        let pack = pack(&groups(model));
        let (plain, weights) = (logp(model, &pack), base(model));
        model.add_adapter(&everywhere(), SEED).unwrap();
        stir(model);
        let apart = logp(model, &pack);
        let far = apart.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far > 0.05, "{family}: the adapter changes {far}");
        model.merge_adapter().unwrap();
        assert!(model.merge_adapter().is_err(), "{family}: merged twice");
        assert_close(&logp(model, &pack), &apart, 5e-5, family);
        assert!(base(model) != weights, "{family}: what is saved is not merged");
        // The weights that others share are not touched.
        let shared = model.without_adapter();
        assert!(logp(&shared, &pack) == plain && base(&shared) == weights, "{family}: shared");
        model.unmerge_adapter();
        assert!(logp(model, &pack) == apart && base(model) == weights, "{family}: unmerged");
    });
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    every_family(|model, family| {
        let config = LoraConfig {
            rslora: true,
            dropout: 0.05,
            rank_pattern: vec![("o_proj".into(), 2)],
            alpha_pattern: vec![("down_proj".into(), 7.5)],
            ..LoraConfig { rank: 3, alpha: 5.0, ..LoraConfig::default() }
        };
        let mut other = model.without_adapter();
        model.add_adapter(&config, SEED).unwrap();
        stir(model);
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        model.save_adapter(first.path(), "org/model").unwrap();
        other.load_adapter(first.path()).unwrap();
        let pack = pack(&groups(model));
        assert!(logp(model, &pack) == logp(&other, &pack), "{family}");
        other.save_adapter(second.path(), "org/model").unwrap();
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
            assert!(read(first.path()) == read(second.path()), "{family} {file}");
        }
        let text = std::fs::read_to_string(first.path().join("adapter_config.json")).unwrap();
        let said: serde_json::Value = serde_json::from_str(&text).unwrap();
        let target = r"model\.language_model\.layers\.\d+\.(mlp\.down_proj|mlp\.gate_proj|mlp\.up_proj|self_attn\.k_proj|self_attn\.o_proj|self_attn\.q_proj|self_attn\.v_proj)";
        assert_eq!(said["target_modules"], target, "{family}");
        assert_eq!((&said["r"], &said["lora_alpha"]), (&3.into(), &5.into()), "{family}");
    });
}

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// Name and checkpoint, as in tests/golden/lora/make.py.
const PEFT: [(&str, &str); 3] =
    [("names", "qwen2_5_vl"), ("everything", "qwen3_vl-tied"), ("exceptions", "qwen2_vl-tied")];

#[test]
fn adapters_made_by_peft_do_what_they_do_there() {
    for (name, checkpoint) in PEFT {
        let mut model =
            VisionLanguageModel::load(&golden(&format!("model/checkpoints/{checkpoint}"))).unwrap();
        model.load_adapter(&golden(&format!("lora/adapters/{name}"))).unwrap();
        let batch = golden(&format!("model/ref/{checkpoint}/train.safetensors"));
        let theirs = golden(&format!("lora/ref/{name}.safetensors"));
        for merged in [false, true] {
            let table = match merged {
                false => parity::compare_adapter(&model, &batch, &theirs).unwrap(),
                true => {
                    model.merge_adapter().unwrap();
                    parity::compare_batch(&model, &batch, &theirs).unwrap()
                }
            };
            for (quantity, difference, tolerance) in table.0 {
                println!("{name} {quantity}: {difference:.2e}");
                assert!(difference <= tolerance, "{name} {quantity}: {difference:e} > {tolerance:e}");
            }
        }
    }
}

/// A copy of a golden adapter whose configuration `change` changed.
fn changed(name: &str, change: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = golden(&format!("lora/adapters/{name}"));
    std::fs::copy(from.join("adapter_model.safetensors"), dir.path().join("adapter_model.safetensors"))
        .unwrap();
    let text = std::fs::read_to_string(from.join("adapter_config.json")).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    std::fs::write(dir.path().join("adapter_config.json"), value.to_string()).unwrap();
    dir
}

#[test]
fn what_is_not_computed_here_is_refused() {
    let load = |dir: &Path, checkpoint: &str| {
        let mut model =
            VisionLanguageModel::load(&golden(&format!("model/checkpoints/{checkpoint}"))).unwrap();
        let error = model.load_adapter(dir).unwrap_err();
        assert!(error.is_input() && model.adapter().is_none(), "{error}");
        // It is as if nothing had been tried.
        model.load_adapter(&golden("lora/adapters/names")).unwrap();
        error.to_string()
    };
    for (key, value, words) in [
        ("use_dora", serde_json::json!(true), "`use_dora` should be absent"),
        ("modules_to_save", serde_json::json!(["lm_head"]), "`modules_to_save` should be absent"),
        ("some_new_method", serde_json::json!({"x": 1}), "`some_new_method` should be absent"),
        ("peft_type", serde_json::json!("VERA"), "`peft_type` should be \"LORA\", but is \"VERA\""),
        ("bias", serde_json::json!("all"), "`bias` should be \"none\", but is \"all\""),
        ("init_lora_weights", serde_json::json!("pissa"), "`init_lora_weights` should be"),
        ("r", serde_json::json!(4), "of shape [4, "),
        ("lora_alpha", serde_json::json!(-1), "`lora_alpha` should be above 0, but is -1"),
    ] {
        let dir = changed("names", |config| config[key] = value.clone());
        let message = load(dir.path(), "qwen2_5_vl");
        assert!(message.contains(words), "{key}: {message}");
    }
    // An adapter of another model.
    let message = load(&golden("lora/adapters/everything"), "qwen2_5_vl");
    assert!(message.contains("of a linear layer of this model"), "{message}");
    let message = load(&golden("lora/adapters"), "qwen2_5_vl");
    assert!(message.contains("adapter_config.json"), "{message}");
}

#[test]
fn a_target_that_fits_nothing_is_named() {
    every_family(|model, family| {
        for (target, words) in [
            (Target::Names(vec!["q_proj".into(), "query".into()]), "`query`"),
            (Target::Pattern("q_proj".into()), "`q_proj`"),
            (Target::Pattern("(".into()), "regular expression"),
            (Target::Names(vec![]), "empty"),
        ] {
            let config = LoraConfig { target_modules: target, ..LoraConfig::default() };
            let message = model.add_adapter(&config, 0).unwrap_err().to_string();
            assert!(message.contains(words) && model.adapter().is_none(), "{family}: {message}");
        }
        let wrong = LoraConfig { rank: 0, ..LoraConfig::default() };
        assert!(model.add_adapter(&wrong, 0).unwrap_err().to_string().contains("`rank`"), "{family}");
    });
}
