//! Formats with a column for the question, one for the answer and one for the images.

use super::{Columns, Draft, ImageStore, Mapped, answer};

/// `problem, answer, images` (or `image`); `choices` where there are any.
pub(super) fn easyr1(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("problem")?;
    let answer = answer::take(columns, &["answer", "solution", "ground_truth"])?;
    let images = store.take(columns, &["images", "image"])?;
    let choices = super::mme::plain_choices(columns)?;
    Ok(Draft { problem, answer, images, choices, ..Draft::default() })
}

/// `question, answer, image` with paths into a folder or an archive beside the file.
pub(super) fn virl39k(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("question")?;
    let answer = answer::take(columns, &["answer"])?;
    let images = store.take(columns, &["image", "images"])?;
    Ok(Draft { problem, answer, images, ..Draft::default() })
}

/// Image files of a sample; question and answer in its `json`, or the answer in `txt` or `cls`.
pub(super) fn webdataset(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let name = if columns.has("problem") { "problem" } else { "question" };
    let problem = columns.text(name)?;
    let answer = answer::take(columns, &["answer", "solution", "txt", "cls"])?;
    let images = store.take_files(columns)?;
    let choices = super::mme::plain_choices(columns)?;
    Ok(Draft { problem, answer, images, choices, ..Draft::default() })
}
