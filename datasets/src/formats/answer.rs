//! What may stand as an answer.

use super::{Columns, Fault, Mapped};
use crate::read::Cell;
use serde_json::Value;

/// The answer in the first column of `names` that is there.
pub(super) fn take(columns: &mut Columns, names: &[&str]) -> Mapped<String> {
    let first = names.first().copied().unwrap_or("answer");
    let name = names.iter().find(|n| columns.has(n)).copied().unwrap_or(first);
    let cell = columns.take(name).ok_or_else(|| Fault::new(first, "the answer is missing or null"))?;
    match cell {
        Cell::Json(value) => of(name, &value),
        Cell::Far(far) => Ok(far.text),
        _ => Err(Fault::new(name, "the answer is bytes")),
    }
}

/// The answer that `value` states: a word, a number, or a list of exactly one.
pub(super) fn of(name: &str, value: &Value) -> Mapped<String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err(Fault::new(name, "the answer is empty")),
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Array(list) => match &list[..] {
            [one] => of(name, one),
            many => Err(Fault::new(name, format!("the answer is ambiguous: a list of {}", many.len()))),
        },
        other => Err(Fault::new(name, format!("the answer is {}", crate::read::kind(other)))),
    }
}
