//! V* Bench as rows: the authors' `test_questions.jsonl` and its mirrors, and the mirror with a list of choices.

use super::{Columns, Draft, Fault, ImageStore, Mapped, answer, mme};
use crate::grade::choice::letter;

/// What the authors' file says after the options; it is no part of the last one.
const INSTRUCTION: &str = "Answer with the option's letter from the given choices directly.";

/// `text` holds question and options, `label` the letter.
pub(super) fn lines(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let text = columns.text("text")?;
    let (problem, choices) = parted(&text)
        .ok_or_else(|| Fault::new("text", format!("no options (A), (B), … in order in `{text}`")))?;
    let answer = mme::stated(answer::take(columns, &["label"])?, "label", &choices)?;
    let images = store.take(columns, &["image"])?;
    Ok(Draft { problem, answer, choices, images, ..Draft::default() })
}

/// `question`, `choices`, and `answer` as the place of the right one, from 0.
pub(super) fn choices(columns: &mut Columns, store: &ImageStore) -> Mapped<Draft> {
    let problem = columns.text("question")?;
    let choices = mme::plain_choices(columns)?;
    let stated = answer::take(columns, &["answer"])?;
    let at = stated.parse::<usize>().ok().filter(|&at| at < choices.len());
    let at = at.ok_or_else(|| {
        Fault::new("answer", format!("`{stated}` is no place in a list of {} choices", choices.len()))
    })?;
    let images = store.take(columns, &["image"])?;
    Ok(Draft { problem, answer: letter(at).to_string(), choices, images, ..Draft::default() })
}

/// Question and options of `question (A) one (B) two`. Marks count in their order only, so an option may hold brackets.
fn parted(text: &str) -> Option<(String, Vec<String>)> {
    let text = text.trim();
    let text = text.strip_suffix(INSTRUCTION).unwrap_or(text);
    let (question, mut rest) = text.split_once("(A)")?;
    let mut choices = Vec::new();
    loop {
        let next = format!("({})", letter(choices.len() + 1));
        match rest.split_once(&next) {
            Some((option, behind)) => {
                choices.push(option.trim().to_owned());
                rest = behind;
            }
            None => {
                choices.push(rest.trim().to_owned());
                break;
            }
        }
    }
    let sound = choices.len() > 1 && choices.iter().all(|option| !option.is_empty());
    sound.then(|| (question.trim().to_owned(), choices))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parted_from_their_question() {
        let text = format!("Is it red?\n(A) yes (it is) \n(B) no.\n{INSTRUCTION}");
        let want = ("Is it red?".to_owned(), vec!["yes (it is)".to_owned(), "no.".to_owned()]);
        assert_eq!(parted(&text), Some(want));
        for none in ["What?", "What? (A) one", "What? (B) one (A) two", "What? (A) (B) two"] {
            assert_eq!(parted(none), None, "{none}");
        }
    }
}
