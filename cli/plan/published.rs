//! What another trainer needs for the same models, as its authors publish it.

use super::shape::Shape;

/// One row of EasyR1's `assets/baselines.md` (v0.3.2): GRPO on Geometry3K, 512 prompts x 5 answers, at most 2,048
/// tokens each of prompt and answer, rollouts by vLLM on the same GPUs.
#[derive(Debug)]
pub struct Published {
    /// The model's name there.
    pub model: &'static str,
    /// Its parameters, in billions.
    billions: f64,
    /// GPUs.
    pub gpus: &'static str,
    /// How numbers are kept, and the micro-batches of update and experience.
    pub how: &'static str,
    /// GB of each GPU.
    pub memory: f64,
    /// Seconds a step.
    pub seconds: f64,
    /// Share of the arithmetic that its updates reach, in per cent.
    pub reached: f64,
}

const fn row(
    (model, billions): (&'static str, f64),
    gpus: &'static str,
    how: &'static str,
    [memory, seconds, reached]: [f64; 3],
) -> Published {
    Published { model, billions, gpus, how, memory, seconds, reached }
}

const THREE: (&str, f64) = ("Qwen2.5-VL-3B", 3.75);
const SEVEN: (&str, f64) = ("Qwen2.5-VL-7B", 8.29);
const THIRTY_TWO: (&str, f64) = ("Qwen2.5-VL-32B", 33.45);

/// Its dense models.
pub const PUBLISHED: &[Published] = &[
    row(THREE, "8 h100", "AMP, 1/2", [54.0, 120.0, 8.1]),
    row(SEVEN, "8 h100", "AMP, 1/2", [68.0, 145.0, 16.0]),
    row(SEVEN, "8 h100", "AMP, 4/8", [72.0, 120.0, 23.2]),
    row(SEVEN, "8 h100", "bf16, 1/2", [58.0, 145.0, 16.0]),
    row(SEVEN, "8 l20", "AMP, 1/2", [42.0, 580.0, 26.5]),
    row(THIRTY_TWO, "8 h100", "bf16, 1/2", [72.0, 530.0, 25.8]),
];

/// The rows of models of this size.
pub fn beside(shape: &Shape) -> impl Iterator<Item = &'static Published> {
    let billions = shape.parameters() as f64 / 1e9;
    PUBLISHED.iter().filter(move |row| (row.billions / billions - 1.0).abs() < 0.1)
}
