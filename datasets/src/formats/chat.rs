//! Formats that store a conversation: verl, TRL, LLaVA, ShareGPT, ms-swift.
//!
//! A sample is the first question and its answer. A longer conversation is kept whole in `meta.conversation`.

use super::{Columns, Draft, Fault, ImageStore, Mapped, answer};
use crate::prompt::IMAGE_MARK;
use crate::read::{Cell, kind};
use serde_json::{Map, Value};

const SYSTEM: &[&str] = &["system"];
const USER: &[&str] = &["user", "human"];
const ASSISTANT: &[&str] = &["assistant", "gpt", "model"];

/// `prompt` as messages, the answer in `reward_model.ground_truth`.
pub(super) fn verl(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let mut draft = question(columns, "prompt")?;
    let reward = columns.take("reward_model").map(Cell::into_json).unwrap_or_default();
    draft.answer = answer::of("reward_model.ground_truth", &reward["ground_truth"])?;
    draft.meta.insert("reward_model".into(), reward);
    draft.images = store.take(columns, &["images"])?;
    let index =
        columns.fields.iter().find(|(name, _)| name == "extra_info").map(|(_, c)| c.clone().into_json());
    draft.id = index.filter(|info| !info["index"].is_null()).map(|info| {
        let split = info["split"].as_str().unwrap_or("row");
        format!("{split}-{}", info["index"])
    });
    Ok(draft)
}

/// `prompt` as messages or text; the answer in `answer`, `solution`, `ground_truth` or `completion`.
pub(super) fn trl(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let mut draft = question(columns, "prompt")?;
    let names = ["answer", "solution", "ground_truth"];
    draft.answer = match columns.take("completion") {
        Some(completion) if !names.iter().any(|n| columns.has(n)) => {
            let turns = turns("completion", &completion.into_json())?;
            let text = turns.first().map(|t| t.text.clone()).unwrap_or_default();
            answer::of("completion", &Value::String(text))?
        }
        _ => answer::take(columns, &names)?,
    };
    draft.images = store.take(columns, &["images", "image"])?;
    Ok(draft)
}

/// `conversations` or `messages` with question and answer; a `solution` or `answer` column overrides the latter.
pub(super) fn conversations(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let name = if columns.has("conversations") { "conversations" } else { "messages" };
    let mut draft = question(columns, name)?;
    let stated = ["solution", "answer"].iter().any(|n| columns.has(n));
    if stated || draft.answer.is_empty() {
        draft.answer = answer::take(columns, &["solution", "answer"])?;
    }
    draft.images = store.take(columns, &["images", "image"])?;
    Ok(draft)
}

struct Turn {
    role: String,
    text: String,
}

/// The first user turn as problem, the first assistant turn (where there is one) as answer.
fn question(columns: &mut Columns, name: &str) -> Mapped<Draft> {
    let value = columns.take(name).ok_or_else(|| Fault::new(name, "is missing or null"))?.into_json();
    let turns = turns(name, &value)?;
    let first =
        |roles: &[&str]| turns.iter().find(|t| roles.contains(&t.role.as_str())).map(|t| t.text.clone());
    let problem = first(USER).filter(|text| !text.trim().is_empty());
    let problem = problem.ok_or_else(|| Fault::new(name, "no user turn with text"))?;
    let mut meta = Map::new();
    meta.extend(first(SYSTEM).map(|text| ("system".to_owned(), text.into())));
    let questions = turns.iter().filter(|t| USER.contains(&t.role.as_str())).count();
    if questions > 1 {
        meta.insert("conversation".into(), value);
    }
    let answer = first(ASSISTANT).map(|t| t.trim().to_owned()).unwrap_or_default();
    Ok(Draft { problem, answer, meta, ..Draft::default() })
}

fn turns(name: &str, value: &Value) -> Mapped<Vec<Turn>> {
    match value {
        Value::String(text) => Ok(vec![Turn { role: "user".into(), text: text.clone() }]),
        Value::Array(list) => list.iter().map(|turn| one(name, turn)).collect(),
        other => Err(Fault::new(name, format!("expected messages, found {}", kind(other)))),
    }
}

fn one(name: &str, turn: &Value) -> Mapped<Turn> {
    let role = turn["role"].as_str().or(turn["from"].as_str());
    let role = role.ok_or_else(|| Fault::new(name, "a message without `role` or `from`"))?.to_owned();
    let content = if turn["content"].is_null() { &turn["value"] } else { &turn["content"] };
    match content {
        Value::String(text) => Ok(Turn { role, text: text.clone() }),
        Value::Array(parts) => Ok(Turn { role, text: parts.iter().map(part).collect() }),
        other => Err(Fault::new(name, format!("a message whose content is {}", kind(other)))),
    }
}

/// A part of a message: text as it is, an image as its mark.
fn part(part: &Value) -> String {
    match part["type"].as_str() {
        Some("image" | "image_url") => IMAGE_MARK.to_owned(),
        _ => part["text"].as_str().unwrap_or("").to_owned(),
    }
}
