//! What this crate writes: `id, problem, answer, images, meta`, the metadata as JSON text or as an object.

use super::{Columns, Draft, Fault, ImageStore, Mapped, answer};
use crate::ImageRef;
use crate::read::Cell;
use serde_json::{Map, Value};

pub(super) fn own(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let id = Some(columns.text("id")?);
    let problem = columns.text("problem")?;
    let answer = answer::take(columns, &["answer"])?;
    let mut meta = match columns.take("meta").map(Cell::into_json) {
        None => Map::new(),
        Some(Value::Object(meta)) => meta,
        Some(Value::String(text)) => {
            serde_json::from_str(&text).map_err(|e| Fault::new("meta", format!("not a JSON object: {e}")))?
        }
        Some(other) => {
            return Err(Fault::new(
                "meta",
                format!("expected an object, found {}", crate::read::kind(&other)),
            ));
        }
    };
    let choices = match meta.shift_remove("choices") {
        Some(list) => serde_json::from_value(list).map_err(|e| Fault::new("meta.choices", e.to_string()))?,
        None => vec![],
    };
    let images =
        if columns.has("images") { store.take(columns, &["images"])? } else { files(columns, store)? };
    Ok(Draft { id, problem, answer, choices, images, meta })
}

/// The images of a WebDataset sample under the names they had.
fn files(columns: &mut Columns, store: &ImageStore) -> Mapped<Vec<ImageRef>> {
    let names = columns.take("image_names").map(Cell::into_json).unwrap_or_default();
    let mut images = store.take_files(columns)?;
    for (image, given) in images.iter_mut().zip(names.as_array().into_iter().flatten()) {
        if let (ImageRef::Bytes { name, .. }, Some(given)) = (image, given.as_str()) {
            *name = given.to_owned();
        }
    }
    columns.take("__key__");
    Ok(images)
}
