//! Multiple choice with lettered options: MME-RealWorld's two layouts.

use super::{Columns, Draft, Fault, ImageStore, Mapped, answer};
use crate::grade::choice::letter;
use crate::read::Cell;
use serde_json::{Map, Value};

/// The key of `meta` under which options are kept to the letter.
pub(crate) const AS_WRITTEN: &str = "options";

/// The official JSON: image paths, options as `"(A) text"`.
pub(super) fn official(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("Text")?;
    let meta = as_written(columns, "Answer choices");
    let choices = lettered(columns, "Answer choices")?;
    let answer = stated(answer::take(columns, &["Ground truth"])?, "Ground truth", &choices)?;
    let images = store.take(columns, &["Image"])?;
    Ok(Draft { problem, answer, choices, images, meta, ..Draft::default() })
}

/// Rows with base64 images: the Base64 repository, the TSV (options as a Python list), the parquet mirror.
pub(super) fn base64(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("question")?;
    let meta = as_written(columns, "multi-choice options");
    let choices = lettered(columns, "multi-choice options")?;
    let answer = stated(answer::take(columns, &["answer"])?, "answer", &choices)?;
    let images = store.take_base64(columns, &["image", "bytes"])?;
    Ok(Draft { problem, answer, choices, images, meta, ..Draft::default() })
}

/// The options to the letter, where they are not `"(A) text"`: the published prompt shows them so.
fn as_written(columns: &Columns, name: &str) -> Map<String, Value> {
    let list = columns.get(name).cloned().map(Cell::into_json);
    let list = match list {
        Some(Value::String(text)) => python_list(&text),
        other => other,
    };
    let plain = |(i, option): (usize, &Value)| {
        option.as_str().and_then(|text| text.strip_prefix(&format!("({}) ", letter(i)))).is_some()
    };
    match list {
        Some(Value::Array(list)) if !list.iter().enumerate().all(plain) => {
            Map::from_iter([(AS_WRITTEN.to_owned(), Value::Array(list))])
        }
        _ => Map::new(),
    }
}

/// A `choices` column of texts, if there is one.
pub(super) fn plain_choices(columns: &mut Columns) -> Mapped<Vec<String>> {
    let Some(cell) = columns.take("choices") else { return Ok(vec![]) };
    texts("choices", cell.into_json())
}

fn lettered(columns: &mut Columns, name: &str) -> Mapped<Vec<String>> {
    let cell = columns.take(name).ok_or_else(|| Fault::new(name, "is missing or null"))?;
    let value = match cell.into_json() {
        Value::String(list) => python_list(&list).ok_or_else(|| Fault::new(name, "not a list of strings"))?,
        other => other,
    };
    let options = texts(name, value)?;
    options.iter().enumerate().map(|(i, option)| without_letter(name, i, option)).collect()
}

fn texts(name: &str, value: Value) -> Mapped<Vec<String>> {
    let list: std::result::Result<Vec<String>, _> = serde_json::from_value(value);
    list.map_err(|e| Fault::new(name, format!("not a list of strings: {e}")))
}

/// The text of `"(A) text"`, of `"（A）text"` and of `"A. text"`.
fn without_letter(name: &str, index: usize, option: &str) -> Mapped<String> {
    let want = letter(index);
    let open = option.trim().trim_start_matches(['(', '（']);
    match open.strip_prefix(want).and_then(|rest| rest.strip_prefix([')', '）', '.'])) {
        Some(text) => Ok(text.trim().to_owned()),
        None => Err(Fault::new(name, format!("option {index} is `{option}`, it should start with ({want})"))),
    }
}

/// The letter of the right option, checked.
pub(super) fn stated(answer: String, name: &str, choices: &[String]) -> Mapped<String> {
    let bare = answer.trim_matches(['(', ')', '（', '）', ' ', '.']);
    let known = (0..choices.len()).any(|i| bare == letter(i).to_string());
    match known {
        true => Ok(bare.to_owned()),
        false => Err(Fault::new(name, format!("`{answer}` names none of {} options", choices.len()))),
    }
}

/// `['a', "b"]` as Python's repr writes a list of strings.
fn python_list(text: &str) -> Option<Value> {
    let inner = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut out = Vec::new();
    let mut chars = inner.chars();
    loop {
        let quote = match chars.find(|c| !c.is_whitespace() && *c != ',') {
            None => return Some(Value::Array(out)),
            Some(c @ ('\'' | '"')) => c,
            Some(_) => return None,
        };
        let mut item = String::new();
        loop {
            match chars.next()? {
                '\\' => match chars.next()? {
                    'n' => item.push('\n'),
                    't' => item.push('\t'),
                    c => item.push(c),
                },
                c if c == quote => break,
                c => item.push(c),
            }
        }
        out.push(item.into());
    }
}

/// The base64 of a cell of text.
pub(super) fn base64_text(cell: Cell) -> Option<String> {
    match cell {
        Cell::Json(Value::String(text)) => Some(text),
        Cell::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}
