"""Golden encodings of the cut tokenizers in ../template/<family>/, from transformers.

    make.py [OUT_DIR]        (default: the folder of this script)

Made with transformers 5.23.0, tokenizers 0.23.3. `cases.json`: per family a list of [text, ids, text decoded without
special tokens]. The texts: scripts of the world, whitespace, digits, contractions, special tokens in the middle, and 60
random strings over several Unicode blocks.
"""
from __future__ import annotations

import json
import pathlib
import random
import sys

from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = [
    "", " ", "  ", "\n", "\n\n \n", "Hello, world!", "Hello  world\t\ttabs\r\n\r\nCRLF   ", "I'm we'll THEY'RE don't I'D",
    "The answer is \\boxed{42}. <think>x</think><answer>[12, 345, 6789]</answer>",
    "自然语言处理是人工智能的一个重要方向。你好，世界！", "日本語のテキスト、カタカナとひらがな。", "한국어 문장입니다. 안녕하세요!",
    "Привет, мир! Съешь же ещё этих мягких французских булок.", "مرحبا بالعالم، كيف حالك؟", "שלום עולם", "नमस्ते दुनिया",
    "สวัสดีชาวโลก", "Ça va? Déjà vu — naïve coöperation… “quotes”", "e\u0301 (decomposed) vs é", "emoji 👩‍👩‍👧‍👦 🏳️‍🌈 🇨🇳 1️⃣",
    "∑_{i=1}^{n} x_i² ≤ ∫₀^∞ e^{-t} dt", "def f(x):\n    return x**2  # comment\n\n\nclass A: pass\n",
    "3.14159 1,000,000 0x1F 1e-10", "trailing spaces   ", "   leading", "a" * 100, "{}[]()<>|&^%$#@!~`",
    "\u00a0nbsp \u200bzwsp \ufeffbom \u3000ideographic space", "\x00\x01\x7f controls", "K\u212a ſ Kelvin & long s: it'ſ",
    '{"bbox_2d": [10, 20, 300, 400], "label": "cat"}',
    "<|im_start|>user\n<|vision_start|><|image_pad|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n",
    "<tool_call>\n{\"name\": \"f\"}\n</tool_call><|endoftext|>", "<|box_start|>(1,2)<|box_end|> <|video_pad|>",
    "<|im_start|><|im_start|>  <|im_end|>", "<|im_star|> not special", "<|IM_START|>",
]
POOLS = [range(0x20, 0x7F), range(0xA0, 0x250), range(0x370, 0x600), range(0x900, 0xE80), range(0x3040, 0x3100),
         range(0x4E00, 0x9FA6), range(0xAC00, 0xD7A4), range(0x1F300, 0x1F700), [9, 10, 13, 32, 0xA0, 0x2028]]


def main() -> None:
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    rng = random.Random(0)
    fuzz = ["".join(chr(rng.choice(rng.choice(POOLS))) for _ in range(rng.randrange(1, 30))) for _ in range(60)]
    families = {}
    for family in ("qwen2_5_vl", "qwen3_vl"):
        tokenizer = AutoTokenizer.from_pretrained(HERE.parent / "template" / family)
        encode = lambda s: tokenizer(s)["input_ids"]  # noqa: E731
        families[family] = [[t, encode(t), tokenizer.decode(encode(t), skip_special_tokens=True)] for t in TEXTS + fuzz]
    (out / "cases.json").write_text(json.dumps(families).replace("], [\"", "],\n[\"") + "\n")


if __name__ == "__main__":
    main()
