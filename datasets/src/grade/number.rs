//! A number, compared within a tolerance.

use super::{Grade, zone};

/// How far a number may lie from the answer: within `absolute`, or within `relative` times the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// In the answer's unit.
    pub absolute: f64,
    /// As a share of the answer.
    pub relative: f64,
}

impl Default for Tolerance {
    /// Equal but for rounding.
    fn default() -> Self {
        Self { absolute: 1e-6, relative: 1e-6 }
    }
}

/// Right when the reply's zone holds one number and it is `answer`.
pub fn grade(answer: f64, tolerance: Tolerance, response: &str) -> Grade {
    match parse(zone(response)) {
        Some(value) => {
            let far = (value - answer).abs();
            Grade::of(far <= tolerance.absolute.max(tolerance.relative * answer.abs()), value.to_string())
        }
        None => Grade::unparsed(),
    }
}

/// The number that `text` states: alone, with a unit or a sign of money, after `=`, with thousands commas, as a
/// fraction or a percentage (`50%` is 50). `None` when there is none or more than one.
pub fn parse(text: &str) -> Option<f64> {
    let text = text.rsplit('=').next().unwrap_or(text).trim();
    let mut numbers = tokens(text);
    let first = numbers.next()?;
    match (numbers.next(), numbers.next()) {
        (None, _) => Some(first.value),
        (Some(second), None) if text[first.end..second.start].trim() == "/" && second.value != 0. => {
            Some(first.value / second.value)
        }
        _ => None,
    }
}

struct Token {
    value: f64,
    start: usize,
    end: usize,
}

fn tokens(text: &str) -> impl Iterator<Item = Token> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let word = at > 0 && bytes[at - 1].is_ascii_alphabetic();
            match scan(bytes, at) {
                Some(end) if !word => {
                    let start = std::mem::replace(&mut at, end);
                    let plain: String = text[start..end].chars().filter(|&c| c != ',').collect();
                    return plain.parse().ok().filter(|v: &f64| v.is_finite()).map(|value| Token {
                        value,
                        start,
                        end,
                    });
                }
                Some(end) => at = end,
                None => at += 1,
            }
        }
        None
    })
}

/// The end of the number that starts at `at`, if one does.
fn scan(bytes: &[u8], at: usize) -> Option<usize> {
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut end = at + usize::from(matches!(bytes[at], b'-' | b'+'));
    if !(digit(end) || bytes.get(end) == Some(&b'.') && digit(end + 1)) {
        return None;
    }
    while digit(end) || (bytes.get(end) == Some(&b',') && (1..4).all(|k| digit(end + k)) && !digit(end + 4)) {
        end += 1;
    }
    if bytes.get(end) == Some(&b'.') && digit(end + 1) {
        end += 1;
        while digit(end) {
            end += 1;
        }
    }
    let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
    if matches!(bytes.get(end), Some(b'e' | b'E')) && digit(end + 1 + sign) {
        end += 1 + sign;
        while digit(end) {
            end += 1;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        for (text, want) in [
            ("5", Some(5.)),
            ("-3.50", Some(-3.5)),
            ("x = 12 cm", Some(12.)),
            ("1,234.5", Some(1234.5)),
            ("$1,000,000", Some(1e6)),
            ("50%", Some(50.)),
            ("3/4", Some(0.75)),
            ("1e-3", Some(1e-3)),
            (".5", Some(0.5)),
            ("3.75.", Some(3.75)),
            ("H2O", None),
            ("3 or 4", None),
            ("1/0", None),
            ("", None),
            ("abc", None),
        ] {
            assert_eq!(parse(text), want, "{text:?}");
        }
    }

    #[test]
    fn tolerance_decides() {
        let loose = Tolerance { absolute: 0.5, relative: 0. };
        assert_eq!(grade(3., loose, "<answer>3.4</answer>").score, 1.);
        assert_eq!(grade(3., loose, "<answer>3.6</answer>").score, 0.);
    }
}
