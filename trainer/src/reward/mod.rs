//! What an answer is worth. One reward a file, and the table that names them.
//!
//! A reward gives one number for one answer. It does not weigh or add: the recipe does. Correctness is
//! the task's own grade, so that what is trained is what is evaluated.

use crate::Result;
use crate::recipe::RewardSpec;
use foveate_datasets::{Grade, Sample};
use foveate_objectives::Entry;
use std::fmt::Debug;

mod exact;
mod format;
mod iou;
mod length;
mod repetition;
mod score;

/// Every reward a recipe can name.
pub const REWARDS: &[Entry<dyn Reward>] =
    &[exact::ENTRY, format::ENTRY, iou::ENTRY, length::ENTRY, score::ENTRY, repetition::ENTRY];

/// An answer as rewards see it.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The question.
    pub sample: &'a Sample,
    /// The answer without special tokens.
    pub text: &'a str,
    /// Its length in tokens, the closing one included.
    pub tokens: usize,
    /// Whether it ended by itself and was not cut off.
    pub finished: bool,
    /// The task's verdict.
    pub grade: &'a Grade,
    /// The part of the image it looked at last, `[x1, y1, x2, y2]` in pixels of the original; `None` where it
    /// named no box that can be shown.
    pub region: Option<[f64; 4]>,
}

/// A number for an answer.
pub trait Reward: Debug + Send + Sync {
    /// The name in [`REWARDS`].
    fn name(&self) -> &'static str;

    /// The value; NaN where this answer cannot be scored, which takes it out of its group's statistics.
    fn score(&self, answer: &Answer<'_>) -> f64;
}

/// A weighted sum of rewards.
#[derive(Debug)]
pub struct Rewards(Vec<(f64, Box<dyn Reward>)>);

/// What one answer was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The weighted sum.
    pub total: f64,
    /// Each reward before its weight, in recipe order.
    pub parts: Vec<(&'static str, f64)>,
}

impl Rewards {
    /// The rewards that a recipe names.
    ///
    /// # Errors
    /// A name or setting that [`REWARDS`] does not have.
    pub fn new(specs: &[RewardSpec]) -> Result<Self> {
        let build = |spec: &RewardSpec| Ok((spec.weight, spec.reward.build("reward", REWARDS)?));
        Ok(Self(specs.iter().map(build).collect::<Result<_>>()?))
    }

    /// What `answer` is worth.
    pub fn score(&self, answer: &Answer<'_>) -> Scored {
        let mut scored = Scored { total: 0.0, parts: Vec::with_capacity(self.0.len()) };
        for (weight, reward) in &self.0 {
            let value = reward.score(answer);
            scored.total += weight * value;
            scored.parts.push((reward.name(), value));
        }
        scored
    }
}

#[cfg(test)]
mod tests {
    //! What must hold for every reward; a new one is tested by being in the table.
    use super::*;
    use foveate_objectives::Named;

    fn sample() -> Sample {
        Sample {
            id: "s".into(),
            problem: "?".into(),
            answer: "red".into(),
            choices: vec![],
            images: vec![],
            meta: serde_json::Map::new(),
        }
    }

    fn score(reward: &Named, text: &str, tokens: usize, right: bool) -> f64 {
        let reward = reward.build("reward", REWARDS).unwrap();
        let grade = Grade::of(right, text);
        let sample = sample();
        reward.score(&Answer {
            sample: &sample,
            text,
            tokens,
            finished: tokens < 16,
            grade: &grade,
            region: None,
        })
    }

    fn settings(name: &str) -> Named {
        if name == "length" { Named::new(name).with("max", 16).with("buffer", 8) } else { Named::new(name) }
    }

    #[test]
    fn every_reward_is_total_named_and_strict() {
        for (i, entry) in REWARDS.iter().enumerate() {
            assert!(REWARDS[..i].iter().all(|e| e.name != entry.name), "{} twice", entry.name);
            for text in ["", "red", "<think>", "\\boxed{", "\u{0}\u{fffd}", &"a ".repeat(10_000)] {
                for tokens in [1, 16, 10_000] {
                    let value = score(&settings(entry.name), text, tokens, false);
                    // The answer of this sample is no number: `score` has nothing to compare with.
                    // Nor does it say where to look.
                    let silent = ["score", "iou"].contains(&entry.name) && value.is_nan();
                    assert!(silent || value.abs() <= 2.0, "{} of {text}: {value}", entry.name);
                }
            }
            let typo = settings(entry.name).with("no_such_field", 1).build("reward", REWARDS);
            assert!(typo.err().unwrap().to_string().contains("no_such_field"), "{}", entry.name);
        }
    }

    #[test]
    fn exact_is_the_grade() {
        assert_eq!(score(&Named::new("exact"), "red", 2, true), 1.0);
        assert_eq!(score(&Named::new("exact"), "blue", 2, false), 0.0);
    }

    #[test]
    fn the_overlong_penalty_is_soft() {
        let at = |tokens| score(&settings("length"), "red", tokens, true);
        assert_eq!([1, 8, 10, 12, 16, 40].map(at), [0.0, 0.0, -0.25, -0.5, -1.0, -1.0]);
    }

    #[test]
    fn a_score_is_worth_its_nearness() {
        let at = |truth: &str, said: &str| {
            let sample = Sample { answer: truth.into(), ..sample() };
            let grade = Grade { parsed: Some(said.into()), ..Grade::unparsed() };
            let answer = Answer {
                sample: &sample,
                text: said,
                tokens: 3,
                finished: true,
                grade: &grade,
                region: None,
            };
            Named::new("score").build("reward", REWARDS).unwrap().score(&answer)
        };
        assert_eq!(at("3.5", "3.50"), 1.0);
        assert!((at("3", "3.3") - (-1.0f64).exp()).abs() < 1e-9);
        assert_eq!(at("5", "9"), 1.0);
        assert_eq!(at("3", "good"), 0.0);
        assert!(at("good", "3").is_nan());
    }

    #[test]
    fn a_box_is_worth_its_overlap_with_what_was_asked_about() {
        let at = |region: Option<[f64; 4]>, settings: Named| {
            let targets = serde_json::json!([[10, 10, 10, 10], [20, 20, 10, 10]]);
            let meta = serde_json::Map::from_iter([("targets".into(), targets)]);
            let (sample, grade) = (Sample { meta, ..sample() }, Grade::of(true, "red"));
            let (text, tokens, finished) = ("red", 3, true);
            let answer = Answer { sample: &sample, text, tokens, finished, grade: &grade, region };
            settings.build("reward", REWARDS).unwrap().score(&answer)
        };
        let plain = || Named::new("iou");
        assert_eq!(at(Some([10.0, 10.0, 30.0, 30.0]), plain()), 1.0);
        assert_eq!(at(Some([10.0, 10.0, 30.0, 20.0]), plain()), 0.5);
        assert_eq!(at(None, plain()), 0.0);
        assert_eq!(at(Some([10.0, 10.0, 30.0, 20.0]), plain().with("threshold", 0.5)), 1.0);
        assert_eq!(at(Some([10.0, 10.0, 30.0, 19.0]), plain().with("threshold", 0.5)), 0.0);
    }

    #[test]
    fn repetition_costs_a_quarter_each_and_two_at_most() {
        let of = |text: &str| score(&Named::new("repetition"), text, 3, true);
        assert_eq!(of("abcde fg h"), 0.0);
        // Six of one letter, all in different words.
        assert_eq!(of("az bz cz dz ez fz"), -1.5);
        assert_eq!(of("az bz cz dz ez"), 0.0);
        assert_eq!(of(&"on ".repeat(50)), -2.0);
    }

    #[test]
    fn formats_are_told_apart() {
        let of = |form: &str, text: &str| score(&Named::new("format").with("form", form), text, 3, true);
        assert_eq!(of("word", "red"), 1.0);
        assert_eq!(of("word", "the red one"), 0.0);
        assert_eq!(of("word", ""), 0.0);
        assert_eq!(of("boxed", "so \\boxed{red}"), 1.0);
        assert_eq!(of("boxed", "so red"), 0.0);
        assert_eq!(of("think-boxed", "<think>hm</think> \\boxed{red}"), 1.0);
        assert_eq!(of("think-boxed", "\\boxed{red}"), 0.0);
        assert_eq!(of("think-answer", "<think>hm</think><answer>red</answer>"), 1.0);
        assert_eq!(of("think-answer", "<answer>red</answer>"), 0.0);
    }

    #[test]
    fn a_sum_is_weighted_and_broken_down() {
        let spec = |name: &str, weight| RewardSpec { reward: Named::new(name), weight };
        let rewards = Rewards::new(&[spec("exact", 0.9), spec("format", 0.1)]).unwrap();
        let (sample, grade) = (sample(), Grade::of(false, "blue"));
        let answer =
            Answer { sample: &sample, text: "blue", tokens: 2, finished: true, grade: &grade, region: None };
        let scored = rewards.score(&answer);
        assert_eq!(scored.total, 0.1);
        assert_eq!(scored.parts, [("exact", 0.0), ("format", 1.0)]);
    }
}
