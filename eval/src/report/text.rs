//! Numbers and words as a reader wants them.

use crate::stats::Interval;

/// Text that is no markup.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `71.3 %`
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// `+2.4` points.
pub(super) fn points(share: f64) -> String {
    let text = format!("{:+.1}", 100.0 * share);
    if text == "-0.0" { "+0.0".into() } else { text.replace('-', "−") }
}

/// `64.5 to 77.2 %`
pub(super) fn range(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |i| format!("{:.1} to {:.1} %", 100.0 * i.low, 100.0 * i.high))
}

/// `+0.4 to +4.1` points.
pub(super) fn points_range(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |i| format!("{} to {}", points(i.low), points(i.high)))
}

/// Few digits, no trailing zeros.
pub(super) fn number(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 1e6 || (v > 0.0 && v < 1e-4) => return format!("{value:.0e}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    if !text.contains('.') {
        return text;
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// `0.03`, `< 0.001`.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

/// `1,234`
pub(super) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `gaussian_noise` as a reader's word.
pub(super) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// At most `most` characters, the rest as an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.25, 1.5, 1234.5, 5e-6, -0.00001].map(number),
            ["0", "0.25", "1.5", "1234", "5e-6", "-1e-5"]
        );
        assert_eq!([1, 999, 1000, 1234567].map(count), ["1", "999", "1,000", "1,234,567"]);
        assert_eq!([0.024, -0.1, -0.0001].map(points), ["+2.4", "−10.0", "+0.0"]);
        assert_eq!([0.5, 0.00001].map(p_value), ["0.500", "< 0.001"]);
        assert_eq!(cut("äöüß", 2), "äö…");
    }
}
