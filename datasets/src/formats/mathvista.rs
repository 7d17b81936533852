//! MathVista: options as texts, or a number with its precision, or a list. The answer stays as it is published, an
//! option's text included; the rest stays in `meta`.

use super::{Columns, Draft, Fault, ImageStore, Mapped, answer, mme};

/// `question, choices, answer, question_type, answer_type, precision, decoded_image` or `image`.
pub(super) fn mathvista(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("question")?;
    let choices = mme::plain_choices(columns)?;
    let answer = answer::take(columns, &["answer"])?;
    if !choices.is_empty() && !choices.contains(&answer) {
        let list = choices.join("`, `");
        return Err(Fault::new("answer", format!("`{answer}` is none of `{list}`")));
    }
    let images = store.take(columns, &["decoded_image", "image"])?;
    columns.take("image");
    Ok(Draft { problem, answer, choices, images, ..Draft::default() })
}
