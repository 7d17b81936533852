//! Multiple choice with a column for each option, `A`, `B`, `C`, …: HR-Bench, and V* as VLMEvalKit has it.

use super::{Columns, Draft, Fault, ImageStore, Mapped, answer, mme};
use crate::grade::choice::letter;
use crate::read::Cell;
use serde_json::Value;

/// `question, A, B, …, answer` (a letter), `image` as base64. An option that is null ends the list.
pub(super) fn vlmevalkit(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("question")?;
    let mut choices = Vec::new();
    while let Some(cell) = columns.take(&letter(choices.len()).to_string()) {
        choices.push(option(choices.len(), cell)?);
    }
    for gap in choices.len()..26 {
        let name = letter(gap).to_string();
        if columns.has(&name) {
            let before = letter(choices.len());
            return Err(Fault::new(&name, format!("there is an option {name} but no option {before}")));
        }
    }
    let answer = mme::stated(answer::take(columns, &["answer"])?, "answer", &choices)?;
    let images = store.take_base64(columns, &["image"])?;
    Ok(Draft { problem, answer, choices, images, ..Draft::default() })
}

fn option(index: usize, cell: Cell) -> Mapped<String> {
    match cell.into_json() {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => {
            let found = crate::read::kind(&other);
            Err(Fault::new(&letter(index).to_string(), format!("expected an option's text, found {found}")))
        }
    }
}
