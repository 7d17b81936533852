//! What an answer is worth. One reward a file, and the table that names them.
//!
//! A reward gives one number for one answer. It does not weigh or add: the recipe does. `exact` is the
//! task's own grade, so that what is trained is what is evaluated; a program adds one of its own with
//! [`crate::Trainer::add_reward`].

use crate::Result;
use crate::recipe::RewardSpec;
use foveate_datasets::{Grade, Sample};
use foveate_objectives::Entry;
use std::fmt::Debug;

mod boxed_math;
mod choice;
mod command;
mod exact;
mod format;
mod iou;
mod length;
mod number;
mod repetition;
mod score;

pub(crate) use score::signed;

/// Every reward a recipe can name.
pub const REWARDS: &[Entry<dyn Reward>] = &[
    exact::ENTRY,
    choice::ENTRY,
    number::ENTRY,
    boxed_math::ENTRY,
    format::ENTRY,
    iou::ENTRY,
    length::ENTRY,
    score::ENTRY,
    repetition::ENTRY,
    command::ENTRY,
];

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

    /// The value; `None` where this answer cannot be scored, which takes it out of its group's statistics.
    /// A value that is not finite is a fault: the step is skipped, dumped and counted.
    ///
    /// # Errors
    /// What makes every further answer impossible to score: the run stops.
    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>>;
}

/// A weighted sum of rewards.
#[derive(Debug)]
pub struct Rewards(Vec<(f64, Box<dyn Reward>)>);

/// What one answer was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The weighted sum; NaN where a part is missing.
    pub total: f64,
    /// Each reward before its weight, in recipe order.
    pub parts: Vec<(&'static str, Option<f64>)>,
}

impl Scored {
    /// Whether a reward gave a number that is not finite.
    pub fn is_broken(&self) -> bool {
        self.parts.iter().any(|(_, value)| value.is_some_and(|v| !v.is_finite()))
    }
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

    /// Adds a reward that no table has.
    pub fn push(&mut self, weight: f64, reward: Box<dyn Reward>) {
        self.0.push((weight, reward));
    }

    /// What `answer` is worth.
    ///
    /// # Errors
    /// Those of the rewards.
    pub fn score(&self, answer: &Answer<'_>) -> Result<Scored> {
        let mut scored = Scored { total: 0.0, parts: Vec::with_capacity(self.0.len()) };
        for (weight, reward) in &self.0 {
            let value = reward.score(answer)?;
            scored.total += weight * value.unwrap_or(f64::NAN);
            scored.parts.push((reward.name(), value));
        }
        Ok(scored)
    }
}

#[cfg(test)]
mod tests {
    //! What must hold for every reward; a new one is tested by being in the table.
    use super::*;
    use foveate_objectives::Named;

    pub(super) fn sample() -> Sample {
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
        let finished = tokens < 16;
        let answer = Answer { sample: &sample, text, tokens, finished, grade: &grade, region: None };
        reward.score(&answer).unwrap().unwrap_or(f64::NAN)
    }

    fn settings(name: &str) -> Named {
        match name {
            "length" => Named::new(name).with("max", 16).with("buffer", 8),
            "command" => Named::new(name).with("command", vec!["cat"]),
            _ => Named::new(name),
        }
    }

    #[test]
    fn every_reward_is_total_named_and_strict() {
        for (i, entry) in REWARDS.iter().enumerate() {
            assert!(REWARDS[..i].iter().all(|e| e.name != entry.name), "{} twice", entry.name);
            // What another program says is tested with that program.
            let texts = if entry.name == "command" { 0 } else { usize::MAX };
            let all = ["", "red", "<think>", "\\boxed{", "\u{0}\u{fffd}", &"a ".repeat(10_000)];
            for text in all.iter().take(texts) {
                for tokens in [1, 16, 10_000] {
                    let value = score(&settings(entry.name), text, tokens, false);
                    // The answer of this sample is no number and no letter, nor does it say where to look:
                    // there is nothing to compare with.
                    let silent = ["score", "number", "choice", "iou"].contains(&entry.name) && value.is_nan();
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
            let (text, tokens, finished) = (said, 3, true);
            let answer = Answer { sample: &sample, text, tokens, finished, grade: &grade, region: None };
            let reward = Named::new("score").build("reward", REWARDS).unwrap();
            reward.score(&answer).unwrap().unwrap_or(f64::NAN)
        };
        assert_eq!(at("3.5", "3.50"), 1.0);
        assert!((at("3", "3.3") - (-1.0f64).exp()).abs() < 1e-9);
        assert_eq!(at("5", "9"), 1.0);
        assert_eq!(at("3", "good"), 0.0);
        assert!(at("good", "3").is_nan());
    }

    #[test]
    fn the_two_readings_of_a_score_differ_in_the_sign() {
        assert_eq!(
            ["3.5", " 4 ", "-2", "3/5", "3.5.1", "", "1e3", "+2"].map(score::unsigned),
            [Some(3.5), Some(4.0), None, None, None, None, None, None]
        );
        assert_eq!(
            ["3.5", "-2", "+2", "--2", "two"].map(signed),
            [Some(3.5), Some(-2.0), Some(2.0), None, None]
        );
    }

    /// What `reward` says of `text` where the truth and the options are these.
    fn of_question(reward: Named, truth: &str, choices: &[&str], text: &str) -> Option<f64> {
        let choices = choices.iter().map(ToString::to_string).collect();
        let sample = Sample { answer: truth.into(), choices, ..sample() };
        let grade = Grade::of(false, text);
        let (tokens, finished) = (2, true);
        let answer = Answer { sample: &sample, text, tokens, finished, grade: &grade, region: None };
        reward.build("reward", REWARDS).unwrap().score(&answer).unwrap()
    }

    #[test]
    fn choices_numbers_and_mathematics_are_read_as_in_evaluation() {
        let choice = |text: &str| of_question(Named::new("choice"), "B", &["red", "blue"], text);
        assert_eq!([choice("(B)"), choice("blue"), choice("A")], [Some(1.0), Some(1.0), Some(0.0)]);
        assert_eq!(of_question(Named::new("choice"), "B", &[], "B"), None);
        let near = |text: &str| of_question(Named::new("number").with("relative", 0.05), "200", &[], text);
        assert_eq!([near("209"), near("211"), near("about")], [Some(1.0), Some(0.0), Some(0.0)]);
        assert_eq!(of_question(Named::new("number"), "red", &[], "3"), None);
        let math = |text: &str| of_question(Named::new("math"), "\\boxed{\\frac{3}{4}}", &[], text);
        assert_eq!(math("so \\boxed{0.75}"), Some(1.0));
        assert_eq!([math("0.75"), math("\\boxed{0.7}")], [Some(0.0), Some(0.0)]);
        let loose = Named::new("math").with("boxed", false);
        assert_eq!(of_question(loose, "3/4", &[], "0.75"), Some(1.0));
        // Bounded: what would send a computer algebra system searching is text here.
        let clock = std::time::Instant::now();
        let tower = format!("\\boxed{{{}2{}}}", "2^{".repeat(5_000), "}".repeat(5_000));
        assert_eq!(math(&tower), Some(0.0));
        assert_eq!(math(&format!("\\boxed{{{}}}", "(1+".repeat(50_000))), Some(0.0));
        assert!(clock.elapsed().as_secs_f64() < 1.0, "{:?}", clock.elapsed());
    }

    #[test]
    fn a_box_is_worth_its_overlap_with_what_was_asked_about() {
        let at = |region: Option<[f64; 4]>, settings: Named| {
            let targets = serde_json::json!([[10, 10, 10, 10], [20, 20, 10, 10]]);
            let meta = serde_json::Map::from_iter([("targets".into(), targets)]);
            let (sample, grade) = (Sample { meta, ..sample() }, Grade::of(true, "red"));
            let (text, tokens, finished) = ("red", 3, true);
            let answer = Answer { sample: &sample, text, tokens, finished, grade: &grade, region };
            settings.build("reward", REWARDS).unwrap().score(&answer).unwrap().unwrap_or(f64::NAN)
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
        assert_eq!(of("think-number", "<think>hm</think><answer>3.50</answer>"), 1.0);
        assert_eq!(of("think-number", "<think>hm</think><answer>-3.50</answer>"), 0.0);
        assert_eq!(of("think-number", "<think>hm</think><answer>good</answer>"), 0.0);
    }

    #[test]
    fn a_sum_is_weighted_and_broken_down() {
        let spec = |name: &str, weight| RewardSpec { reward: Named::new(name), weight };
        let rewards = Rewards::new(&[spec("exact", 0.9), spec("format", 0.1)]).unwrap();
        let (sample, grade) = (sample(), Grade::of(false, "blue"));
        let (text, tokens, finished) = ("blue", 2, true);
        let answer = Answer { sample: &sample, text, tokens, finished, grade: &grade, region: None };
        let scored = rewards.score(&answer).unwrap();
        assert_eq!(scored.total, 0.1);
        assert_eq!(scored.parts, [("exact", Some(0.0)), ("format", Some(1.0))]);
    }
}
