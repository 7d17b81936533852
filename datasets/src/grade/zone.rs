//! Where in a reply its answer stands.

/// Phrases that announce an answer; what follows, up to the end of the line, is the answer.
const CUES: [&str; 6] = ["answer is", "answer:", "option is", "choice is", "答案是", "答案："];

/// The part of `response` that states the answer: what follows the last `</think>`, within that the last `<answer>`,
/// within that the last `\boxed{}`, within that what follows the last "answer is". Empty when the thinking never ended.
pub fn zone(response: &str) -> &str {
    let mut text = match response.rfind("</think>") {
        Some(at) => &response[at + "</think>".len()..],
        None if response.contains("<think>") => "",
        None => response,
    };
    if let Some(at) = text.rfind("<answer>") {
        let inside = &text[at + "<answer>".len()..];
        text = inside.find("</answer>").map_or(inside, |end| &inside[..end]);
    }
    text = boxed(text).unwrap_or(text);
    after_cue(text).trim()
}

/// The inside of the last `\boxed{...}` of `text`, braces balanced; `None` when there is none that closes.
pub fn boxed(text: &str) -> Option<&str> {
    let start = text.rfind("\\boxed{")? + "\\boxed{".len();
    let mut depth = 1;
    for (i, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[start..i]);
        }
    }
    None
}

fn after_cue(text: &str) -> &str {
    // ASCII lower-casing keeps byte offsets.
    let lower = text.to_ascii_lowercase();
    let Some(at) = CUES.iter().filter_map(|cue| lower.rfind(cue).map(|at| at + cue.len())).max() else {
        return text;
    };
    let tail = text[at..].trim_start_matches([':', ' ', '\n', '*', '：']);
    tail.lines().next().unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_where_it_stands() {
        for (response, want) in [
            ("red", "red"),
            ("  red.\n", "red."),
            ("<think>blue?</think> red", "red"),
            ("<think>blue, so the answer is blue", ""),
            ("<think>a</think><answer> red </answer>", "red"),
            ("<answer>red", "red"),
            ("so \\boxed{1} and \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
            ("I considered blue but the answer is red", "red"),
            ("The answer is: **red**", "red**"),
            ("<answer>The answer is C</answer>", "C"),
            ("Answer:\n7", "7"),
            ("答案是C", "C"),
            ("\\boxed{open", "\\boxed{open"),
            ("", ""),
        ] {
            assert_eq!(zone(response), want, "{response:?}");
        }
    }
}
