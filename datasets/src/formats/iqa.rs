//! Image quality sets: a picture and a mean opinion score. The answer is the score brought to 1 (bad) .. 5
//! (excellent); the score as published stays in `meta.score`, its range in `meta.range`.

use super::{Columns, Draft, Fault, ImageStore, Mapped};
use crate::read::Cell;
use serde_json::{Map, Value, json};

/// What every picture is asked.
pub(crate) const QUESTION: &str = "How good is the quality of this image, from 1 (bad) to 5 (excellent)?";

/// A set's columns and scale.
struct Set {
    image: &'static [&'static str],
    score: &'static [&'static str],
    /// The published score that means 1, and the one that means 5. `None` keeps the score as it is.
    range: Option<(f64, f64)>,
    /// Endings to try for an image named without one.
    ending: &'static str,
}

pub(super) fn koniq(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["image_name"], score: &["MOS"], range: Some((1., 100.)), ending: "" }.read(columns, store)
}

pub(super) fn spaq(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["Image name"], score: &["MOS"], range: Some((0., 100.)), ending: "" }.read(columns, store)
}

pub(super) fn kadid(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["dist_img"], score: &["dmos"], range: Some((1., 5.)), ending: "" }.read(columns, store)
}

pub(super) fn flive(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["name"], score: &["mos"], range: Some((0., 100.)), ending: "" }.read(columns, store)
}

/// Two columns without a header; its scores are differences, so low is good.
pub(super) fn csiq(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["0"], score: &["1"], range: Some((1., 0.)), ending: ".png" }.read(columns, store)
}

/// Two columns without a header; Elo scores have no fixed range and stay as they are.
pub(super) fn pipal(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["0"], score: &["1"], range: None, ending: "" }.read(columns, store)
}

/// DeQA-Score's list: paths from the folder of all sets, a score already on 1..5.
pub(super) fn deqa(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    Set { image: &["image"], score: &["gt_score_norm"], range: None, ending: "" }.read(columns, store)
}

/// Q-Hawkeye's list; `solution` or `gt_score` on 1..5, its own question where it has one.
pub(super) fn q_hawkeye(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let own = columns.has("problem").then(|| columns.text("problem")).transpose()?;
    let set = Set { image: &["images", "image"], score: &["gt_score"], range: None, ending: "" };
    let draft = set.read(columns, store)?;
    Ok(Draft { problem: own.unwrap_or(draft.problem.clone()), ..draft })
}

impl Set {
    fn read(&self, columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
        let score = self.number(columns)?;
        let images = store.take_ending(columns, self.image, self.ending)?;
        let mut meta = Map::new();
        meta.insert("score".into(), score.into());
        let answer = match self.range {
            Some((low, high)) => {
                let within = low.min(high)..=low.max(high);
                if !within.contains(&score) {
                    return Err(Fault::new(self.score[0], format!("{score} is outside {within:?}")));
                }
                meta.insert("range".into(), json!([low, high]));
                1. + 4. * (score - low) / (high - low)
            }
            None => score,
        };
        Ok(Draft {
            problem: QUESTION.to_owned(),
            answer: format!("{answer:.4}"),
            images,
            meta,
            ..Draft::default()
        })
    }

    fn number(&self, columns: &mut Columns) -> Mapped<f64> {
        let name = self.score[0];
        let value = match columns.take_any(self.score) {
            Some(Cell::Json(Value::Number(n))) => n.as_f64(),
            Some(Cell::Json(Value::String(text))) => text.trim().parse().ok(),
            Some(_) => None,
            None => return Err(Fault::new(name, "the score is missing or null")),
        };
        value.filter(|v: &f64| v.is_finite()).ok_or_else(|| Fault::new(name, "the score is not a number"))
    }
}
