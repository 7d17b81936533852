//! 1 for an answer in the prescribed form, 0 for any other, whatever it says. An answer that was cut off
//! has no form.

use super::{Answer, Reward};
use crate::Result;
use foveate_datasets::grade;
use foveate_objectives::Entry;
use serde::Deserialize;

pub(super) const ENTRY: Entry<dyn Reward> = Entry {
    name: "format",
    paper: "think-boxed: EasyR1 and PAPO; think-answer: arXiv:2501.12948",
    build: |v| Ok(Box::new(serde_json::from_value::<Format>(v)?)),
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Format {
    form: Form,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// One word and nothing else.
    #[default]
    Word,
    /// A `\boxed{}` somewhere.
    Boxed,
    /// `<think>...</think>`, then a `\boxed{}`.
    ThinkBoxed,
    /// `<think>...</think><answer>...</answer>` and nothing else.
    ThinkAnswer,
    /// The same with nothing but a number in the answer (Q-Hawkeye).
    ThinkNumber,
}

impl Reward for Format {
    fn name(&self) -> &'static str {
        ENTRY.name
    }

    fn score(&self, answer: &Answer<'_>) -> Result<Option<f64>> {
        let text = answer.text;
        let keeps = match self.form {
            Form::Word => !text.is_empty() && !text.contains(char::is_whitespace),
            Form::Boxed => grade::boxed(text).is_some(),
            Form::ThinkBoxed => grade::format::think_boxed(text),
            Form::ThinkAnswer => grade::format::think_answer(text),
            Form::ThinkNumber => {
                grade::format::think_answer(text) && super::score::unsigned(grade::zone(text)).is_some()
            }
        };
        Ok(Some(f64::from(u8::from(keeps && answer.finished))))
    }
}
