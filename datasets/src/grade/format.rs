//! Whether a reply keeps a prescribed form, whatever its answer.

/// `<think>...</think>` then `<answer>...</answer>`, each once, in this order, with nothing around them.
pub fn think_answer(response: &str) -> bool {
    let once = |tag: &str| response.matches(tag).count() == 1;
    if !["<think>", "</think>", "<answer>", "</answer>"].iter().all(|tag| once(tag)) {
        return false;
    }
    let inner = response.trim().strip_prefix("<think>").and_then(|r| r.strip_suffix("</answer>"));
    inner.and_then(|r| r.split_once("</think>")).is_some_and(|(_, rest)| {
        rest.trim_start().strip_prefix("<answer>").is_some_and(|a| !a.trim().is_empty())
    })
}

/// `<think>...</think>` first, once, and a `\boxed{...}` after it (EasyR1's and PAPO's form).
pub fn think_boxed(response: &str) -> bool {
    let Some(rest) = response.trim().strip_prefix("<think>") else { return false };
    match rest.split_once("</think>") {
        Some((_, tail)) => !tail.contains("think>") && super::boxed(tail).is_some(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_strict() {
        assert!(think_answer("<think>a</think>\n<answer>b</answer>\n"));
        for bad in [
            "",
            "<answer>b</answer>",
            "<think>a</think>b",
            "<think>a</think><answer></answer>",
            "x<think>a</think><answer>b</answer>",
            "<think>a</think><answer>b</answer><answer>c</answer>",
            "<answer>b</answer><think>a</think>",
        ] {
            assert!(!think_answer(bad), "{bad}");
        }
        assert!(think_boxed("<think>a</think> so \\boxed{3}"));
        assert!(!think_boxed("<think>\\boxed{3}</think> 3"));
    }
}
