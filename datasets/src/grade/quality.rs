//! A picture's quality from 1 (bad) to 5 (excellent), as a number.

use super::{Grade, Outcome, number, zone};

/// A reply this far from the score is still right.
const RIGHT: f64 = 0.5;
/// On the scale of 1 to 5, a number outside these is no score.
const SCORES: std::ops::RangeInclusive<f64> = 0. ..=6.;

/// Right within half a point; the score falls in a straight line to 0 at four points. An answer on another scale (Elo)
/// takes any number.
pub fn grade(answer: &str, response: &str) -> Grade {
    let (Some(said), Ok(want)) = (number::parse(zone(response)), answer.trim().parse::<f64>()) else {
        return Grade::unparsed();
    };
    if SCORES.contains(&want) && !SCORES.contains(&said) {
        return Grade::unparsed();
    }
    let far = (said - want).abs();
    let outcome = if far <= RIGHT { Outcome::Right } else { Outcome::Wrong };
    Grade { score: (1. - far / 4.).max(0.) as f32, outcome, parsed: Some(said.to_string()) }
}
