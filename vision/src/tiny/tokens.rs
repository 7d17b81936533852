//! A byte-level BPE tokenizer in Qwen's manner, with merges for a list of words.
//!
//! Decides the ids: bytes in GPT-2's order, then what the words need, then Qwen's added tokens. Knows
//! nothing of the published merges.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::config::Family;
use crate::{Error, Result};

/// Qwen's rule for where text is cut before merging.
const SPLIT: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// Added tokens in the order of their ids, and how many of them each family has.
const ADDED: [&str; 26] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
];

/// The first of [`ADDED`] are special: decoding may skip them.
const SPECIAL: usize = 14;

fn added(family: Family) -> &'static [&'static str] {
    match family {
        Family::Qwen2Vl => &ADDED[..SPECIAL],
        Family::Qwen2_5Vl => &ADDED[..22],
        Family::Qwen3Vl => &ADDED,
    }
}

/// A vocabulary.
pub(super) struct Tokens {
    /// Bytes and merged pieces, in GPT-2's printable stand-ins; the index is the id.
    pieces: Vec<String>,
    merges: Vec<(String, String)>,
    added: &'static [&'static str],
}

impl Tokens {
    /// A tokenizer for which each of `words`, alone or behind a space, is one token.
    pub(super) fn build(words: &[&str], family: Family) -> Result<Self> {
        let mut merger = Merger::default();
        for word in words {
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                let expected = "ASCII letters, which Qwen's split leaves together";
                return Err(Error::input("tiny model", "words", expected, format!("`{word}`")));
            }
            merger.learn(word);
            merger.learn(&format!(" {word}"));
        }
        let mut pieces: Vec<_> = stand_ins().map(String::from).to_vec();
        pieces.sort();
        pieces.extend(merger.merges.iter().map(|(left, right)| format!("{left}{right}")));
        Ok(Self { pieces, merges: merger.merges, added: added(family) })
    }

    /// Number of ids.
    pub(super) fn len(&self) -> usize {
        self.pieces.len() + self.added.len()
    }

    /// The id of an added token.
    pub(super) fn id(&self, added: &str) -> u32 {
        let at = self.added.iter().position(|token| *token == added).unwrap_or(0);
        (self.pieces.len() + at) as u32
    }

    /// `tokenizer.json`
    pub(super) fn to_json(&self) -> Value {
        let bytes = json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false
        });
        let split = json!({
            "type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": false
        });
        let ids = self.pieces.iter().enumerate();
        let vocab: Map<_, _> = ids.map(|(id, piece)| (piece.clone(), json!(id))).collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": self.added_json(),
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
            "post_processor": bytes,
            "decoder": bytes,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false, "vocab": vocab, "merges": self.merges,
            },
        })
    }

    fn added_json(&self) -> Vec<Value> {
        let describe = |(at, content): (usize, &&str)| {
            json!({
                "id": self.pieces.len() + at, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": at < SPECIAL,
            })
        };
        self.added.iter().enumerate().map(describe).collect()
    }

    /// `tokenizer_config.json`
    pub(super) fn config_json(&self, max_length: usize) -> Value {
        let mut decoder = Map::new();
        for mut token in self.added_json() {
            if let Some(Value::Number(id)) = token.as_object_mut().and_then(|t| t.shift_remove("id")) {
                decoder.insert(id.to_string(), token);
            }
        }
        json!({
            "add_bos_token": false, "add_prefix_space": false, "added_tokens_decoder": decoder,
            "additional_special_tokens": ADDED[1..SPECIAL], "bos_token": null,
            "clean_up_tokenization_spaces": false, "eos_token": "<|im_end|>", "errors": "replace",
            "model_max_length": max_length, "pad_token": "<|endoftext|>", "split_special_tokens": false,
            "tokenizer_class": "Qwen2Tokenizer", "unk_token": null,
        })
    }
}

/// Merges in the order in which they were learnt.
#[derive(Default)]
struct Merger {
    merges: Vec<(String, String)>,
    rank: HashMap<(String, String), usize>,
}

impl Merger {
    /// Adds merges until `word` is one piece. Merges learnt before come first, so no earlier word changes.
    fn learn(&mut self, word: &str) {
        let table = stand_ins();
        let bytes: Vec<_> = word.bytes().map(|byte| table[byte as usize].to_string()).collect();
        while let [left, right, ..] = self.split(&bytes).as_slice() {
            let pair = (left.clone(), right.clone());
            self.rank.insert(pair.clone(), self.merges.len());
            self.merges.push(pair);
        }
    }

    /// BPE: of the pairs side by side, the one learnt first is merged, until none is known.
    fn split(&self, bytes: &[String]) -> Vec<String> {
        let mut pieces = bytes.to_vec();
        loop {
            let rank = |at: &usize| {
                self.rank.get(&(pieces[*at].clone(), pieces[at + 1].clone())).map(|rank| (*rank, *at))
            };
            let Some((_, at)) = (0..pieces.len().saturating_sub(1)).filter_map(|at| rank(&at)).min() else {
                return pieces;
            };
            let right = pieces.remove(at + 1);
            pieces[at].push_str(&right);
        }
    }
}

/// GPT-2's printable character for every byte: itself where it is printable, else from U+0100 on.
fn stand_ins() -> [char; 256] {
    let mut next = 0x100..;
    std::array::from_fn(|byte| {
        let printable = matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable { Some(byte as u32) } else { next.next() };
        code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}
