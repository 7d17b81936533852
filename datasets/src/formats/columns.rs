//! Formats with a column for the question, one for the answer and one for the images.

use super::{Columns, Draft, ImageStore, Mapped, answer};
use crate::grade::choice::letter;
use serde_json::Map;

/// `problem, answer, images` (or `image`); `choices` where there are any.
pub(super) fn easyr1(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("problem")?;
    let answer = answer::take(columns, &["answer", "solution", "ground_truth"])?;
    let images = store.take(columns, &["images", "image"])?;
    let choices = super::mme::plain_choices(columns)?;
    Ok(Draft { problem, answer, images, choices, ..Draft::default() })
}

/// `problem, answer, images, choices, ground_truth`: the answer is the value itself, the ground truth the letter of an
/// option. It is asked as it is trained on, without the options, which stay in `meta` with the letter.
pub(super) fn geometry3k(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("problem")?;
    let options = super::mme::plain_choices(columns)?;
    let stated = answer::take(columns, &["answer"])?;
    let at = (0..options.len()).find(|&i| stated == letter(i).to_string());
    let answer = at.map_or(stated, |i| options[i].clone());
    let images = store.take(columns, &["images", "image"])?;
    let meta = Map::from_iter([("options".to_owned(), options.into())]);
    Ok(Draft { problem, answer, images, meta, ..Draft::default() })
}

/// `problem_text`, `annotat_text` (the same with LaTeX marked), `choices`, `answer` as a letter, and the file
/// `img_diagram.png`. Asked as [`geometry3k`] is. The diagram with its points marked is not shown: it would tell where to
/// look.
pub(super) fn geometry3k_folders(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text(if columns.has("annotat_text") { "annotat_text" } else { "problem_text" })?;
    let options = super::mme::plain_choices(columns)?;
    let stated = super::mme::stated(answer::take(columns, &["answer"])?, "answer", &options)?;
    let answer =
        (0..options.len()).find(|&i| stated == letter(i).to_string()).map(|i| options[i].trim().to_owned());
    let images = store.take(columns, &["img_diagram.png"])?;
    columns.take("img_diagram_point.png");
    let meta = [("options".to_owned(), options.into()), ("ground_truth".to_owned(), stated.into())];
    Ok(Draft {
        problem,
        answer: answer.unwrap_or_default(),
        images,
        meta: Map::from_iter(meta),
        ..Draft::default()
    })
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
