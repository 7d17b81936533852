"""A byte-level BPE tokenizer of Qwen's kind: 256 bytes, 24 merges, then the family's added tokens.

The merges are the first 24 of the published vocabulary, so ids below 280 mean what they mean in the published one.
"""
from __future__ import annotations

import json
import pathlib

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
MERGES = "Ġ Ġ|ĠĠ ĠĠ|i n|Ġ t|ĠĠĠĠ ĠĠĠĠ|e r|ĠĠ Ġ|o n|Ġ a|r e|a t|s t|e n|o r|Ġt h|Ċ Ċ|Ġ c|l e|Ġ s|i t|a n|a r|a l|Ġth e".split("|")
QWEN2 = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
         "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
         "<|image_pad|>", "<|video_pad|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>"]  # added, but not special: they survive skip_special_tokens
THINK = ["<tool_response>", "</tool_response>", "<think>", "</think>"]
ADDED = {"qwen2_vl": QWEN2, "qwen2_5_vl": QWEN2 + PLAIN, "qwen3_vl": QWEN2 + PLAIN + THINK}


def byte_alphabet() -> list[str]:
    """One printable stand-in for each byte, in the order of their ids: printable bytes first."""
    keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in keep] + [chr(256 + n) for n in range(256 - len(keep))]


def write(out: pathlib.Path, family: str, template: str, merges_as: str, template_in: str) -> dict[str, int]:
    """Writes tokenizer.json, tokenizer_config.json and the template; returns {added token: id}.

    merges_as: `pair` ([["a", "b"]]) or `text` (["a b"]); template_in: the file that carries the template.
    """
    vocab = {c: i for i, c in enumerate(byte_alphabet() + [m.replace(" ", "") for m in MERGES])}
    ids = {content: len(vocab) + i for i, content in enumerate(ADDED[family])}
    rules = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    flags = lambda content: {**rules, "special": content in QWEN2}  # noqa: E731
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": c, **flags(c)} for c, i in ids.items()],
        "normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": level, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": MERGES if merges_as == "text" else [m.split(" ") for m in MERGES]},
    }
    config = {
        "add_prefix_space": False, "added_tokens_decoder": {str(i): {"content": c, **flags(c)} for c, i in ids.items()},
        "additional_special_tokens": QWEN2[1:], "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 4096, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }
    out.mkdir(parents=True, exist_ok=True)
    dump = lambda name, value: (out / name).write_text(json.dumps(value, ensure_ascii=False) + "\n")  # noqa: E731
    if template_in == "tokenizer_config.json":
        config["chat_template"] = template
    elif template_in == "chat_template.json":
        dump(template_in, {"chat_template": template})
    else:
        (out / template_in).write_text(template)
    dump("tokenizer.json", tokenizer)
    dump("tokenizer_config.json", config)
    return ids
