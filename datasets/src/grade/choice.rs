//! An option's letter, or its text.

use super::{Grade, exact::normalise, zone};

/// The letter of option `index`: A, B, C ...
pub fn letter(index: usize) -> char {
    char::from(b'A' + (index % 26) as u8)
}

/// Right when the reply names the letter `answer` among `choices` (their texts, in the order shown).
pub fn grade(answer: &str, choices: &[String], response: &str) -> Grade {
    match parse(choices, zone(response)) {
        Some(index) => {
            Grade::of(answer.trim().eq_ignore_ascii_case(&letter(index).to_string()), letter(index))
        }
        None => Grade::unparsed(),
    }
}

/// Which option `said` names: a letter at the start, an option's exact text, one bracketed letter, or the only capital
/// that stands alone. Ambiguity is `None`.
fn parse(choices: &[String], said: &str) -> Option<usize> {
    let said = said.trim_matches(|c: char| c.is_whitespace() || "*`\"'".contains(c));
    let index = |c: char| (c as usize).checked_sub('A' as usize).filter(|&i| i < choices.len());
    let rivals = |i: &usize| bracketed(said).filter_map(index).any(|other| other != *i);
    leading(said).and_then(index).filter(|i| !rivals(i)).or_else(|| by_text(choices, said)).or_else(|| {
        let mut found = bracketed(said).filter_map(index).chain(alone(said).filter_map(index));
        let first = found.next()?;
        found.all(|other| other == first).then_some(first)
    })
}

/// The letter of `C`, `(C)`, `C.`, `C) text`, `c`; not the article of "A red car".
fn leading(said: &str) -> Option<char> {
    let open = said.trim_start_matches(['(', '（', '[']);
    let mut rest = open.chars();
    let first = rest.next().filter(char::is_ascii_alphabetic)?.to_ascii_uppercase();
    let closes = rest.next().is_none_or(|c| ".):]）、：,*\n".contains(c));
    closes.then_some(first)
}

fn by_text(choices: &[String], said: &str) -> Option<usize> {
    let said = normalise(said);
    let mut hits = choices.iter().enumerate().filter(|(_, c)| !said.is_empty() && normalise(c) == said);
    let (index, _) = hits.next()?;
    hits.next().is_none().then_some(index)
}

fn bracketed(said: &str) -> impl Iterator<Item = char> {
    let chars: Vec<char> = said.chars().collect();
    let is = |w: &[char]| "(（".contains(w[0]) && w[1].is_ascii_uppercase() && ")）".contains(w[2]);
    chars.windows(3).filter(|w| is(w)).map(|w| w[1]).collect::<Vec<_>>().into_iter()
}

/// Capitals that are words of their own. `A` and `I` before another word are English, not options.
fn alone(said: &str) -> impl Iterator<Item = char> {
    let words: Vec<&str> = said.split(|c: char| !c.is_alphanumeric() && c != '\'').collect();
    let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
    let mut out = Vec::new();
    for (i, word) in words.iter().enumerate() {
        let mut chars = word.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { continue };
        let english = (c == 'A' || c == 'I') && i + 1 < words.len();
        out.extend((c.is_ascii_uppercase() && !english).then_some(c));
    }
    out.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome::{Right, Unparsed, Wrong};

    #[test]
    fn replies_that_fool_other_extractors() {
        let choices: Vec<String> = ["red", "blue car", "green", "red"].map(String::from).to_vec();
        for (response, want) in [
            ("C", Right),
            ("c", Right),
            ("(C)", Right),
            ("C. green", Right),
            ("（C）", Right),
            ("Answer: C", Right),
            ("Based on the image, the answer is C.", Right),
            ("A red car is visible, so the answer is C", Right),
            ("I considered A but the answer is C", Right),
            ("<answer>C</answer>", Right),
            ("\\boxed{C}", Right),
            ("<think>Maybe A or B</think><answer>C</answer>", Right),
            ("<answer>The answer is C</answer>", Right),
            ("green", Right),
            ("It must be C", Right),
            ("**C**", Right),
            ("B", Wrong),
            ("blue car", Wrong),
            ("red", Unparsed),
            ("E", Unparsed),
            ("", Unparsed),
            ("A red car", Unparsed),
            ("(A) or (C)", Unparsed),
            ("B or C", Unparsed),
            ("<think>C", Unparsed),
        ] {
            assert_eq!(grade("C", &choices, response).outcome, want, "{response:?}");
        }
    }
}
