//! Loss and gradient against TRL's and verl's own functions, in f64.
//!
//! The numbers and the scripts that made them are in `tests/golden/grpo/`. Every case of both files is
//! expressed here; where the two libraries differ, a setting says which is which:
//!
//! | | TRL | verl |
//! |---|---|---|
//! | `group-z`, `epsilon` | 1e-4 | 1e-6 |
//! | `reference-kl`, `clamp` | false | true: log-ratio to 20, k3 to 10 |
//! | answers without a counted token, `skip_empty` | false: counted as 0 | true: left out of the mean |
//! | large ratios of bad tokens | `cap` (its delta) | `dual_clip` |
//! | `sequence` ratio | with `seq-mean-token-mean` | the same, empty answers skipped |
//! | `fixed`, `length` | the longest completion allowed | the padded width unless set |
//! | `cispo` | bound above only | `clip_low` too |
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{DType, Device, Tensor, Var};
use foveate_objectives::kl::Estimator;
use foveate_objectives::{
    Batch, Named, Objective, ObjectiveSpec, Outcome, Sequences, Signal, TermSpec, Totals,
};
use std::collections::{BTreeMap, HashMap};

const GROUP: usize = 4;
/// verl adds 1e-8 to the length before it divides by it.
const VERL: f64 = 1e-8;
const TRL: f64 = 1e-9;

struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn load(file: &str) -> Self {
        let path = format!("{}/../tests/golden/grpo/{file}", env!("CARGO_MANIFEST_DIR"));
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    fn flat(&self, name: &str) -> Tensor {
        let x = self.0.get(name).unwrap_or_else(|| panic!("no {name}"));
        x.to_dtype(DType::F64).unwrap().flatten_all().unwrap()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.flat(name).to_vec1().unwrap()
    }

    fn sequences(&self) -> Sequences {
        let dims = self.0["shared.mask"].dims().to_vec();
        let (rows, width) = (dims[0], dims[1]);
        let ranges = (0..rows).map(|i| i * width..(i + 1) * width).collect();
        let mask = self.values("shared.mask").iter().map(|&m| m != 0.0).collect();
        Sequences::new(ranges, mask, vec![true; rows]).unwrap()
    }

    fn groups(&self, rewards: &str) -> Vec<Vec<Outcome>> {
        let sequences = self.sequences();
        let outcome = |(s, &reward): (usize, &f64)| Outcome {
            tokens: sequences.counted_in(s),
            ..Outcome::of_reward(reward)
        };
        let outcomes: Vec<_> = self.values(rewards).iter().enumerate().map(outcome).collect();
        outcomes.chunks(GROUP).map(<[_]>::to_vec).collect()
    }

    /// One advantage per row, spread over its tokens.
    fn spread(&self, advantage_s: &[f64]) -> Tensor {
        let mut advantage_n = vec![0.0; self.sequences().tokens()];
        for (range, a) in self.sequences().ranges().iter().zip(advantage_s) {
            advantage_n[range.clone()].fill(*a);
        }
        Tensor::new(advantage_n, &Device::Cpu).unwrap()
    }

    fn check(&self, case: &str, objective: &Objective, advantage_s: &[f64], on_policy: bool, tolerance: f64) {
        let logp = Var::from_tensor(&self.flat("shared.logps")).unwrap();
        let batch = Batch {
            logp_n: logp.as_tensor().clone(),
            old_n: (!on_policy).then(|| self.flat("shared.old_logps")),
            advantage_n: self.spread(advantage_s),
            sequences: self.sequences(),
            signals: BTreeMap::from([(Signal::Reference, self.flat("shared.ref_logps"))]),
        };
        let sampled = self.0.contains_key("shared.sampled_logps").then(|| self.flat("shared.sampled_logps"));
        let signals = sampled.map(|sampled_n| (Signal::Sampled, sampled_n)).into_iter().chain(batch.signals);
        let batch = Batch { signals: signals.collect(), ..batch };
        let loss = objective.loss(&batch, &Totals::of(&batch.sequences)).unwrap();
        let found = loss.total.to_scalar::<f64>().unwrap();
        let expected = self.values(&format!("{case}.loss"))[0];
        assert!((found - expected).abs() < tolerance, "{case}: loss {found}, expected {expected}");
        let grads = loss.total.backward().unwrap();
        let grad = grads.get(&logp).unwrap().to_vec1::<f64>().unwrap();
        let expected = self.values(&format!("{case}.grad"));
        assert!(expected.iter().any(|g| *g != 0.0), "{case}: a golden without gradient proves nothing");
        close(case, &grad, &expected, tolerance);
    }
}

fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() < tolerance, "{what}[{i}]: {f}, expected {e}");
    }
}

fn spec(advantage: Named, surrogate: Named, reduction: Named, low: f64, high: f64) -> ObjectiveSpec {
    let clips = surrogate.name == "ppo-clip";
    ObjectiveSpec {
        advantage,
        surrogate,
        reduction,
        clip_low: clips.then_some(low),
        clip_high: clips.then_some(high),
        ..Default::default()
    }
}

fn sequence(spec: ObjectiveSpec) -> ObjectiveSpec {
    ObjectiveSpec { ratio: Named::new("sequence"), ..spec }
}

fn kl(weight: f64) -> Vec<TermSpec> {
    let term = Named::new("reference-kl").with("clamp", false);
    vec![TermSpec::new(term, weight)]
}

#[test]
fn trl_cases() {
    let golden = Golden::load("grpo_cases.safetensors");
    let z = || Named::new("group-z").with("epsilon", 1e-4);
    let ppo = || Named::new("ppo-clip");
    let per_seq = || Named::new("seq-mean-token-mean");
    let token = || Named::new("token-mean");
    let grpo = || spec(z(), ppo(), per_seq(), 0.2, 0.2);
    // TRL holds its temperatures in f32.
    let sapo = || Named::new("sapo").with("tau_neg", f64::from(1.05f32));
    let sums = || Named::new("seq-mean-token-sum");
    let cases: Vec<(&str, ObjectiveSpec, Vec<TermSpec>)> = vec![
        ("grpo", grpo(), vec![]),
        ("grpo_kl", grpo(), kl(0.04)),
        ("grpo_on_policy", grpo(), vec![]),
        ("grpo_delta", spec(z(), ppo().with("cap", 1.4), per_seq(), 0.2, 0.2), vec![]),
        ("grpo_batch_std", spec(z().with("std", "batch"), ppo(), per_seq(), 0.2, 0.2), vec![]),
        ("bnpo", spec(z(), ppo(), token(), 0.2, 0.2), vec![]),
        ("dapo", spec(z(), ppo(), token(), 0.2, 0.28), vec![]),
        ("dapo_kl", spec(z(), ppo(), token(), 0.2, 0.28), kl(0.01)),
        (
            "dr_grpo",
            spec(Named::new("group-mean"), ppo(), Named::new("fixed").with("length", 32), 0.2, 0.2),
            vec![],
        ),
        ("gspo", sequence(spec(z(), ppo(), per_seq(), 3e-4, 4e-4)), vec![]),
        ("gspo_wide", sequence(spec(z(), ppo(), per_seq(), 0.03, 0.05)), vec![]),
        ("cispo", spec(z(), Named::new("cispo").with("clip_high", 0.3), token(), 0.2, 0.2), vec![]),
        ("sapo", spec(z(), sapo(), per_seq(), 0.2, 0.2), vec![]),
        ("luspo", sequence(spec(z(), ppo(), sums(), 0.03, 0.05)), vec![]),
    ];
    let of_file = golden.0.keys().filter(|k| k.ends_with(".loss")).count();
    assert_eq!(cases.len(), of_file, "a case of the file is not expressed");
    for (case, spec, terms) in cases {
        let objective = Objective::new(&spec, &terms).unwrap();
        let advantage_s = objective.advantages(&golden.groups("shared.rewards")).concat();
        // TRL's nanstd divides n by n - 1 in f32, so its advantages are right to 1e-7 only; the loss is
        // compared at its own advantages.
        let theirs = golden.values(&format!("{case}.advantages"));
        close(case, &advantage_s, &theirs, 1e-7);
        golden.check(case, &objective, &theirs, case == "grpo_on_policy", TRL);
    }
}

/// TRL's importance sampling correction, on a batch in which some tokens were not sampled.
#[test]
fn trl_sampler_cases() {
    let golden = Golden::load("sampler_cases.safetensors");
    let modes = ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"];
    assert_eq!(golden.0.keys().filter(|k| k.ends_with(".loss")).count(), 2 * modes.len());
    let advantage_s = golden.values("shared.advantages");
    for mode in modes {
        let row = Named::new(&mode.replace('_', "-"));
        let corrected = |reduction: &str, correction| ObjectiveSpec {
            correction: Some(correction),
            ..spec(Named::new("group-z"), Named::new("ppo-clip"), Named::new(reduction), 0.2, 0.2)
        };
        let wide = corrected("seq-mean-token-mean", row.clone());
        golden.check(mode, &Objective::new(&wide, &[]).unwrap(), &advantage_s, false, TRL);
        let tight = corrected("token-mean", row.with("low", 0.7).with("high", 1.2));
        let objective = Objective::new(&tight, &kl(0.04)).unwrap();
        golden.check(&format!("{mode}_tight"), &objective, &advantage_s, false, TRL);
    }
}

#[test]
fn verl_cases() {
    let golden = Golden::load("verl_cases.safetensors");
    let skip = |name: &str| Named::new(name).with("skip_empty", true);
    let token = || Named::new("token-mean");
    let ppo = |reduction, high, dual| ObjectiveSpec {
        dual_clip: Some(dual),
        ..spec(Named::new("group-z"), Named::new("ppo-clip"), reduction, 0.2, high)
    };
    let gspo = |low, high| {
        sequence(spec(Named::new("group-z"), Named::new("ppo-clip"), skip("seq-mean-token-mean"), low, high))
    };
    let cases = vec![
        ("ppo_token_mean", ppo(token(), 0.2, 3.0)),
        ("ppo_clip_higher", ppo(token(), 0.28, 3.0)),
        ("ppo_dual_clip_tight", ppo(token(), 0.2, 1.25)),
        ("ppo_seq_mean_token_sum", ppo(skip("seq-mean-token-sum"), 0.2, 3.0)),
        ("ppo_seq_mean_token_mean", ppo(skip("seq-mean-token-mean"), 0.2, 3.0)),
        ("ppo_seq_mean_token_sum_norm", ppo(skip("fixed").with("length", 24), 0.2, 3.0)),
        ("gspo", gspo(3e-4, 4e-4)),
        ("gspo_wide", gspo(0.03, 0.05)),
        ("gpg", spec(Named::new("group-z"), Named::new("reinforce"), token(), 0.2, 0.2)),
    ];
    let of_file = golden.0.keys().filter(|k| k.ends_with(".loss")).count();
    assert_eq!(cases.len(), of_file, "a case of the file is not expressed");
    for (case, spec) in cases {
        let objective = Objective::new(&spec, &[]).unwrap();
        let advantage_s = objective.advantages(&golden.groups("shared.rewards")).concat();
        golden.check(case, &objective, &advantage_s, false, VERL);
    }
}

#[test]
fn verl_advantages() {
    let golden = Golden::load("verl_cases.safetensors");
    let mask = golden.values("shared.mask");
    for (case, row, tolerance) in [
        // verl's epsilon makes an advantage of about 1e-10 out of a group without variance.
        ("adv.grpo", "group-z", 1e-9),
        ("adv.grpo_no_std", "group-mean", 1e-12),
        ("adv.rloo", "rloo", 1e-12),
        ("adv.reinforce_pp_baseline", "reinforce-pp", 1e-6),
    ] {
        let spec = ObjectiveSpec { advantage: Named::new(row), ..Default::default() };
        let advantage_s = Objective::new(&spec, &[]).unwrap().advantages(&golden.groups("shared.rewards"));
        let spread = golden.spread(&advantage_s.concat()).to_vec1::<f64>().unwrap();
        let masked: Vec<f64> = spread.iter().zip(&mask).map(|(a, m)| a * m).collect();
        close(case, &masked, &golden.values(case), tolerance);
    }
}

#[test]
fn verl_kl_estimators() {
    let golden = Golden::load("verl_cases.safetensors");
    let (reference, sequences) = (golden.flat("shared.ref_logps"), golden.sequences());
    let mask: Vec<f64> = golden.values("shared.mask");
    for estimator in Estimator::ALL {
        let name = serde_json::to_value(estimator).unwrap();
        let case = format!("kl.{}", name.as_str().unwrap());
        let logp = Var::from_tensor(&golden.flat("shared.logps")).unwrap();
        let value = estimator.per_token(&logp, &reference, true).unwrap();
        close(&case, &value.to_vec1::<f64>().unwrap(), &golden.values(&case), 1e-12);
        let mask = Tensor::new(mask.clone(), &Device::Cpu).unwrap();
        let grads = (value * mask).unwrap().sum_all().unwrap().backward().unwrap();
        let grad = grads.get(&logp).unwrap().to_vec1::<f64>().unwrap();
        close(&case, &grad, &golden.values(&format!("{case}.grad")), 1e-12);
    }
    assert_eq!(sequences.len(), 12);
}
