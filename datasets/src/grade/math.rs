//! Mathematics as models write it: `\boxed{\frac{3}{4}}` is `0.75`, `2\sqrt{3}` is `\sqrt{12}`.
//!
//! First as text after the spelling is settled, then as numbers. Total and bounded: depth and length are limited and
//! nothing is searched, unlike a computer algebra system.

use super::{Grade, boxed, zone};

/// Longer texts are compared as text only.
const MAX_CHARS: usize = 512;
/// Deeper nesting has no value.
const MAX_DEPTH: u32 = 32;

/// Right when the reply's zone says the same as `answer`.
pub fn grade(answer: &str, response: &str) -> Grade {
    let said = settle(zone(response));
    let want = settle(boxed(answer).unwrap_or(answer));
    if said.is_empty() {
        return Grade::unparsed();
    }
    let equal = said == want || matches!((value(&said), value(&want)), (Some(a), Some(b)) if close(a, b));
    Grade::of(equal, said)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1e-3)
}

/// One spelling: no spaces, no sizes of brackets, no units in `\text`, no degree or per cent signs, lower case.
fn settle(text: &str) -> String {
    let mut out = text.trim().trim_end_matches(['.', ',', ';']).to_lowercase();
    for (old, new) in [
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
        ("\\,", ""),
        ("\\;", ""),
        ("\\ ", ""),
        ("\\%", ""),
        ("%", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("°", ""),
        ("\\$", ""),
        ("$", ""),
        ("\\(", ""),
        ("\\)", ""),
        ("\\cdot", "*"),
        ("\\times", "*"),
        ("×", "*"),
        ("\\div", "/"),
        ("÷", "/"),
        ("−", "-"),
        ("\\pi", "π"),
        ("**", "^"),
    ] {
        out = out.replace(old, new);
    }
    for unit in ["\\text{", "\\mathrm{", "\\mbox{"] {
        while let Some(start) = out.find(unit) {
            let Some(length) = out[start..].find('}') else { break };
            let inner = out[start + unit.len()..start + length].to_owned();
            // A unit after a number goes; a word that is the answer stays.
            let kept = if start == 0 { inner } else { String::new() };
            out.replace_range(start..=start + length, &kept);
        }
    }
    out.retain(|c| !c.is_whitespace());
    match out.rsplit_once('=') {
        Some((left, right)) if left.chars().count() <= 2 => right.to_owned(),
        _ => out,
    }
}

/// The number that a settled expression stands for.
fn value(text: &str) -> Option<f64> {
    let plain = if thousands(text) { text.replace(',', "") } else { text.to_owned() };
    let chars: Vec<char> = plain.chars().take(MAX_CHARS + 1).collect();
    let mut parser = Parser { chars: &chars, at: 0, depth: 0 };
    let value = parser.sum().filter(|v| v.is_finite())?;
    (chars.len() <= MAX_CHARS && parser.at == chars.len()).then_some(value)
}

/// Whether every comma parts three digits from what stands before.
fn thousands(text: &str) -> bool {
    let mut parts = text.split(',');
    let digits = |p: &str| p.bytes().take_while(u8::is_ascii_digit).count();
    parts.next().is_some_and(|p| p.ends_with(|c: char| c.is_ascii_digit())) && parts.all(|p| digits(p) == 3)
}

struct Parser<'a> {
    chars: &'a [char],
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, word: &str) -> bool {
        let there = word.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        self.at += if there { word.chars().count() } else { 0 };
        there
    }

    fn sum(&mut self) -> Option<f64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut total = self.product()?;
        loop {
            if self.eat("+") {
                total += self.product()?;
            } else if self.eat("-") {
                total -= self.product()?;
            } else {
                self.depth -= 1;
                return Some(total);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut total = self.signed()?;
        loop {
            if self.eat("*") {
                total *= self.signed()?;
            } else if self.eat("/") {
                total /= self.signed()?;
            } else if self.peek().is_some_and(|c| "\\(π".contains(c)) {
                total *= self.power()?;
            } else {
                return Some(total);
            }
        }
    }

    fn signed(&mut self) -> Option<f64> {
        if self.eat("-") { self.power().map(|v| -v) } else { self.power() }
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.atom()?;
        if !self.eat("^") {
            return Some(base);
        }
        let exponent = if self.eat("-") { -self.atom()? } else { self.atom()? };
        Some(base.powf(exponent))
    }

    fn atom(&mut self) -> Option<f64> {
        if self.eat("π") {
            return Some(std::f64::consts::PI);
        }
        if self.eat("\\frac") {
            let (top, bottom) = (self.argument()?, self.argument()?);
            return Some(top / bottom);
        }
        if self.eat("\\sqrt") {
            let degree = if self.eat("[") { self.until("]")? } else { 2. };
            return self.argument().map(|v| v.powf(1. / degree));
        }
        for (open, close) in [("(", ")"), ("{", "}")] {
            if self.eat(open) {
                return self.until(close);
            }
        }
        self.number()
    }

    fn until(&mut self, close: &str) -> Option<f64> {
        let inner = self.sum()?;
        self.eat(close).then_some(inner)
    }

    /// `{...}` or, as LaTeX has it, a single character.
    fn argument(&mut self) -> Option<f64> {
        if self.eat("{") {
            return self.until("}");
        }
        if self.eat("π") {
            return Some(std::f64::consts::PI);
        }
        let digit = self.peek()?.to_digit(10)?;
        self.at += 1;
        Some(f64::from(digit))
    }

    fn number(&mut self) -> Option<f64> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_digit() || c == '.') {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect::<String>().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome::{Right, Unparsed, Wrong};

    #[test]
    fn the_same_number_in_another_spelling() {
        for (answer, said, want) in [
            ("\\boxed{\\frac{3}{4}}", "\\boxed{0.75}", Right),
            ("2\\sqrt{3}", "\\sqrt{12}", Right),
            ("2 \\sqrt { 221 }", "$2\\sqrt{221}$", Right),
            ("\\frac12", "1/2", Right),
            ("90", "90^{\\circ}", Right),
            ("5", "5 \\text{ cm}", Right),
            ("1234", "1,234", Right),
            ("3\\pi", "x = 3π", Right),
            ("2^{-1}", "0.5", Right),
            ("-\\frac{1}{3}", "\\dfrac{-1}{3}", Right),
            ("\\text{Yes}", "yes", Right),
            ("(1,2)", "(1, 2)", Right),
            ("\\sqrt[3]{27}", "3", Right),
            ("0.33", "1/3", Wrong),
            ("(1,2)", "(2,1)", Wrong),
            ("4", "-4", Wrong),
            ("4", "1/0", Wrong),
            ("4", "", Unparsed),
        ] {
            assert_eq!(grade(answer, said).outcome, want, "{answer} / {said}");
        }
    }

    #[test]
    fn hostile_text_ends() {
        for text in ["(".repeat(100_000), "\\frac".repeat(10_000), "9^9^9^9^9".into(), "\\text{".repeat(100)]
        {
            assert_ne!(grade("1", &text).outcome, Right);
        }
    }
}
