//! AdamW against PyTorch's, and the laws of an optimiser.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are tests

use candle_core::{DType, Device, Tensor, Var};
use foveate_trainer::Error;
use foveate_trainer::optim::{AdamW, AdamWConfig, Gradients, Schedule, ScheduleKind, Slot};
use std::collections::HashMap;

/// Gradients by the shape of their variable: enough where every variable has its own.
#[derive(Default)]
struct ByShape(HashMap<Vec<usize>, Vec<f32>>);

impl Gradients for ByShape {
    fn read(&self, var: &Tensor, read: &mut dyn FnMut(&[f32])) -> bool {
        self.0.get(var.dims()).map(|grad| read(grad)).is_some()
    }
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn slot(name: &str, var: &Var, decay: bool, lr_scale: f64) -> Slot {
    Slot { name: name.into(), var: var.clone(), decay, lr_scale }
}

fn ramp(n: usize, phase: f32) -> Vec<f32> {
    (0..n).map(|i| (i as f32 * 0.37 + phase).sin()).collect()
}

#[test]
fn twelve_updates_are_those_of_pytorch() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/optim/adamw.safetensors");
    let golden = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let (w, b) =
        (Var::from_tensor(&golden["w.start"]).unwrap(), Var::from_tensor(&golden["b.start"]).unwrap());
    let config = AdamWConfig { beta2: 0.95, weight_decay: 0.1, ..Default::default() };
    let slots = vec![slot("w", &w, true, 1.0), slot("b", &b, false, 0.5)];
    let mut optim = AdamW::new(slots, config).unwrap();
    let schedule = Schedule { kind: ScheduleKind::Cosine, peak: 0.02, floor: 0.0, warmup: 0, total: 12 };
    let norms = golden["norms"].to_vec1::<f64>().unwrap();
    for step in 0..12 {
        let grad = |name: &str| values(&golden[&format!("{name}.grad.{step}")]);
        let grads = ByShape(HashMap::from([(vec![5, 7], grad("w")), (vec![7], grad("b"))]));
        let update = optim.step(schedule.at(step as u64), &grads).unwrap();
        assert!(update.applied);
        assert!((update.grad_norm - norms[step]).abs() < 1e-5 * norms[step], "{step}: {update:?}");
        for (name, var) in [("w", &w), ("b", &b)] {
            for (found, expected) in values(var).iter().zip(values(&golden[&format!("{name}.{step}")])) {
                assert!((found - expected).abs() < 2e-6, "{name} after {step}: {found}, torch {expected}");
            }
        }
    }
}

/// Runs `steps` updates of a variable of `dtype` and gives its values and the state as written.
fn run(
    steps: std::ops::Range<usize>,
    from: Option<(&Var, &std::path::Path)>,
    dtype: DType,
    threads: usize,
) -> (Var, Vec<u8>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let start = Tensor::new(ramp(50_000, 0.0), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        let var = from.map_or_else(|| Var::from_tensor(&start).unwrap(), |(var, _)| var.clone());
        let mut optim = AdamW::new(vec![slot("x", &var, true, 1.0)], AdamWConfig::default()).unwrap();
        if let Some((_, path)) = from {
            optim.load(path).unwrap();
        }
        for step in steps {
            let grads = ByShape(HashMap::from([(vec![50_000], ramp(50_000, step as f32))]));
            optim.step(1e-3, &grads).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("optimizer.safetensors");
        optim.save(&path).unwrap();
        (var, std::fs::read(&path).unwrap())
    })
}

#[test]
fn threads_change_no_bit() {
    let (one, state_one) = run(0..3, None, DType::F32, 1);
    let (three, state_three) = run(0..3, None, DType::F32, 3);
    assert_eq!(values(&one), values(&three));
    assert_eq!(state_one, state_three);
}

#[test]
fn saved_and_loaded_it_goes_on_to_the_bit() {
    for dtype in [DType::F32, DType::BF16] {
        let (whole, state) = run(0..4, None, dtype, 2);
        let (half, saved) = run(0..2, None, dtype, 2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        std::fs::write(&path, saved).unwrap();
        let (resumed, resumed_state) = run(2..4, Some((&half, &path)), dtype, 2);
        assert_eq!(values(&whole), values(&resumed), "{dtype:?}");
        assert!(state == resumed_state, "{dtype:?}: another state");
    }
}

#[test]
fn bf16_weights_move_by_less_than_their_own_step() {
    // Each update is far under half a bf16 step of 1.0 and would be lost without an f32 master.
    let var = Var::from_tensor(&Tensor::ones(3, DType::BF16, &Device::Cpu).unwrap()).unwrap();
    let config = AdamWConfig { weight_decay: 0.0, ..Default::default() };
    let mut optim = AdamW::new(vec![slot("x", &var, false, 1.0)], config).unwrap();
    for _ in 0..100 {
        let grads = ByShape(HashMap::from([(vec![3], vec![1.0; 3])]));
        optim.step(2e-4, &grads).unwrap();
    }
    assert!((values(&var)[0] - 0.98).abs() < 0.004, "{:?}", values(&var));
}

#[test]
fn a_variable_without_a_gradient_is_refused_by_name_and_nothing_changes() {
    let x = Var::from_tensor(&Tensor::ones(3, DType::F32, &Device::Cpu).unwrap()).unwrap();
    let y = Var::from_tensor(&Tensor::ones(4, DType::F32, &Device::Cpu).unwrap()).unwrap();
    let slots = vec![slot("x", &x, true, 1.0), slot("model.visual.blocks.0", &y, true, 1.0)];
    let mut optim = AdamW::new(slots, AdamWConfig::default()).unwrap();
    let grads = ByShape(HashMap::from([(vec![3], vec![1.0; 3])]));
    let error = optim.step(0.1, &grads).unwrap_err();
    assert!(matches!(&error, Error::NoGradient { name } if name == "model.visual.blocks.0"), "{error}");
    assert_eq!(values(&x), [1.0; 3]);
    let grads = ByShape(HashMap::from([(vec![3], vec![1.0; 2]), (vec![4], vec![1.0; 4])]));
    let error = optim.step(0.1, &grads).unwrap_err();
    assert!(matches!(&error, Error::Size { expected: 3, found: 2, .. }), "{error}");
}

#[test]
fn what_is_not_finite_changes_nothing() {
    for bad in [f32::NAN, f32::INFINITY] {
        let x = Var::from_tensor(&Tensor::ones(3, DType::F32, &Device::Cpu).unwrap()).unwrap();
        let mut optim = AdamW::new(vec![slot("x", &x, true, 1.0)], AdamWConfig::default()).unwrap();
        let grads = ByShape(HashMap::from([(vec![3], vec![1.0, bad, 1.0])]));
        assert!(!optim.step(0.1, &grads).unwrap().applied);
        assert_eq!((values(&x), optim.steps()), (vec![1.0; 3], 0));
    }
}

#[test]
fn a_state_of_another_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let new = |name: &str, n: usize| {
        let var = Var::from_tensor(&Tensor::ones(n, DType::F32, &Device::Cpu).unwrap()).unwrap();
        AdamW::new(vec![slot(name, &var, true, 1.0)], AdamWConfig::default()).unwrap()
    };
    new("x", 3).save(&path).unwrap();
    let message = new("x", 4).load(&path).unwrap_err().to_string();
    assert!(message.contains("exp_avg/x") && message.contains("16") && message.contains("12"), "{message}");
    assert!(new("y", 3).load(&path).unwrap_err().to_string().contains("exp_avg/y"));
    std::fs::write(&path, b"junk").unwrap();
    assert!(new("x", 3).load(&path).unwrap_err().is_input());
}
