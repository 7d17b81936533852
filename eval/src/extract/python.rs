//! What Python does to text and numbers where Rust does otherwise.

/// `str.isspace` of one character: Unicode white space and the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split()`.
pub(super) fn split(text: &str) -> Vec<&str> {
    text.split(is_space).filter(|word| !word.is_empty()).collect()
}

/// `len(str)`: characters, not bytes.
pub(super) fn len(text: &str) -> usize {
    text.chars().count()
}

/// ASCII digits for those of any script, as `int()` and `float()` read them; `None` where an underscore does not stand
/// between two digits.
fn plain_digits(text: &str) -> Option<String> {
    let text: Vec<char> = strip(text).chars().map(ascii_digit).collect();
    let digit = |i: Option<usize>| i.and_then(|i| text.get(i)).is_some_and(char::is_ascii_digit);
    let mut out = String::new();
    for (i, &c) in text.iter().enumerate() {
        match c {
            '_' if digit(i.checked_sub(1)) && digit(Some(i + 1)) => {}
            '_' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// The digit of ASCII that a decimal digit of another script stands for. Those come in runs of ten that begin at these
/// characters (Unicode's category Nd).
fn ascii_digit(c: char) -> char {
    const ZEROS: [u32; 24] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
        0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0xa620, 0xff10,
    ];
    let found = ZEROS.iter().find(|&&zero| (zero..zero + 10).contains(&(c as u32)));
    found.and_then(|zero| char::from_digit(c as u32 - zero, 10)).unwrap_or(c)
}

/// `str(int(text))`: a whole number of any length without leading zeros; `None` where Python raises.
pub(super) fn int(text: &str) -> Option<String> {
    let plain = plain_digits(text)?;
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some(if digits.is_empty() { "0".into() } else { format!("{sign}{digits}") })
}

/// `float(text)`; `None` where Python raises.
pub(super) fn float(text: &str) -> Option<f64> {
    // Rust reads what Python reads, once underscores and white space are gone.
    plain_digits(text)?.parse().ok()
}

/// `str(int(value))`; `None` for what is not finite.
pub(super) fn truncated(value: f64) -> Option<String> {
    value.is_finite().then(|| {
        let text = format!("{:.0}", value.trunc());
        if text == "-0" { "0".into() } else { text }
    })
}

/// `str(value)`: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0. { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) || value == 0. {
        let text = format!("{value}");
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `round(value, places)`: to the nearest decimal, of two equally near the even one, by the exact binary value.
pub(super) fn round(value: f64, places: usize) -> f64 {
    if value.is_finite() { format!("{value:.places$}").parse().unwrap_or(value) } else { value }
}

/// Levenshtein's distance in characters.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let best = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// python3: `[str(x) for x in (0.1, 100.0, 1e16, 1e-5, 1.5e300, 123456.0, -0.0, 1e22)]`
    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let got = [0.1, 100.0, 1e16, 1e-5, 1.5e300, 123_456.0, -0.0, 1e22].map(repr);
        assert_eq!(got, ["0.1", "100.0", "1e+16", "1e-05", "1.5e+300", "123456.0", "-0.0", "1e+22"]);
        assert_eq!([2.675, 0.5, 1.5, 1.25].map(|v| repr(round(v, 1))), ["2.7", "0.5", "1.5", "1.2"]);
        assert_eq!(repr(round(2.675, 2)), "2.67");
    }

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        assert_eq!([" 07 ", "1_000", "٣", "-0", "+5"].map(|t| int(t).unwrap()), ["7", "1000", "3", "0", "5"]);
        assert!(["1__0", "_1", "1_", "7.0", "", "0x7", "1,000", "--1"].iter().all(|t| int(t).is_none()));
        assert_eq!(float(" 1_0.5e1 "), Some(105.));
        assert!(["", "1,5", "0x1p3", "1_.5", "e5"].iter().all(|t| float(t).is_none()));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
