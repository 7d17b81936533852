//! The spellings of tensor names.
//!
//! Decides which names mean the same tensor. Published Qwen2-VL and Qwen2.5-VL files say `visual.*`,
//! `model.*` and `lm_head.weight`; Qwen3-VL and what transformers holds in memory say `model.visual.*` and
//! `model.language_model.*`; vLLM and some converters `language_model.model.*` and
//! `language_model.lm_head.weight`.

/// Spelling to bare spelling; the first prefix that fits is replaced.
const PREFIXES: [(&str, &str); 6] = [
    ("model.visual.", "visual."),
    ("model.language_model.", "text."),
    ("language_model.model.", "text."),
    ("language_model.lm_head.", "lm_head."),
    ("model.lm_head.", "lm_head."),
    ("model.", "text."),
];

/// The name that all spellings of a tensor share.
pub(super) fn bare(name: &str) -> String {
    let fits = PREFIXES.iter().find_map(|(prefix, bare)| Some((name.strip_prefix(prefix)?, bare)));
    fits.map_or_else(|| name.to_owned(), |(rest, bare)| format!("{bare}{rest}"))
}

/// What transformers' model class calls the module or tensor in memory.
pub(crate) fn module_path(name: &str) -> String {
    let bare = bare(name);
    let inner = bare.strip_prefix("text.").map(|rest| format!("model.language_model.{rest}"));
    inner.or_else(|| bare.starts_with("visual.").then(|| format!("model.{bare}"))).unwrap_or(bare)
}

/// A buffer that follows from the config, saved by older versions.
pub(super) fn ignorable(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq") || name.ends_with("rotary_pos_emb.inv_freq")
}
