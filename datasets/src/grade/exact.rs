//! One word or phrase, compared after case, articles and outer punctuation are gone.

use super::{Grade, zone};

/// Lower case, outer punctuation and white space gone, inner white space single, a leading article dropped.
pub fn normalise(text: &str) -> String {
    let lower = text.to_lowercase();
    let core =
        lower.trim_matches(|c: char| c.is_whitespace() || (c.is_ascii_punctuation() && !"-+%$".contains(c)));
    let words: Vec<_> = core.split_whitespace().collect();
    let skip = usize::from(words.len() > 1 && ["a", "an", "the"].contains(&words[0]));
    words[skip..].join(" ")
}

/// Free text: right when the reply's zone equals `answer`; unparsed when the zone is empty.
pub fn free(answer: &str, response: &str) -> Grade {
    let said = normalise(zone(response));
    if said.is_empty() { Grade::unparsed() } else { Grade::of(said == normalise(answer), said) }
}

/// A closed set of answers: a zone that is not `known` is unparsed rather than wrong.
pub fn closed(answer: &str, known: impl Fn(&str) -> bool, response: &str) -> Grade {
    let said = normalise(zone(response));
    if known(&said) { Grade::of(said == normalise(answer), said) } else { Grade::unparsed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome::{Right, Unparsed, Wrong};

    #[test]
    fn a_word_is_a_word() {
        let known = |w: &str| ["red", "blue", "1"].contains(&w);
        for (response, want) in [
            ("red", Right),
            (" Red.", Right),
            ("The answer is red.", Right),
            ("<think>blue</think><answer>a red</answer>", Right),
            ("**red**", Right),
            ("blue", Wrong),
            ("red blue", Unparsed),
            ("not red", Unparsed),
            ("reddish", Unparsed),
            ("", Unparsed),
            ("<think>red", Unparsed),
        ] {
            assert_eq!(closed("red", known, response).outcome, want, "{response:?}");
        }
        assert_eq!(free("The Eiffel Tower", "eiffel  tower.").outcome, Right);
        assert_eq!(free("-5", "5").outcome, Wrong);
        assert_eq!(free("x", "...").outcome, Unparsed);
    }
}
