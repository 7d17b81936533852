"""Writes the two random Qwen2.5-VL checkpoints that everything here is measured on, in the published layout.

    checkpoints.py OUT [--tokenizer FILE] [--only mini small]

mini:  1.55 M parameters; an image is 112x112 -> 64 patches -> 16 tokens.
small: 17.8 M parameters; an image is 448x448 -> 1024 patches -> 256 tokens.
`--tokenizer` is a published Qwen tokenizer.json (any of Qwen2.5, Qwen3 and their VL models), cut here to its first 1,024 or
8,160 ids. Without it the 280-token one of tests/golden/model is used: prompts then are some tens of tokens longer.
"""
from __future__ import annotations

import argparse
import json
import math
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForImageTextToText

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/model/checkpoints/qwen2_5_vl"
ADDED = 22  # added tokens of Qwen2.5-VL
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
TEXT = {"mini": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
                 "vocab_size": 1088},
        "small": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 8, "num_attention_heads": 8,
                  "vocab_size": 8192}}
VISION = {"mini": {"depth": 4, "hidden_size": 96, "intermediate_size": 192, "num_heads": 4, "out_hidden_size": 128,
                   "window_size": 56, "fullatt_block_indexes": [1, 3]},
          "small": {"depth": 8, "hidden_size": 256, "intermediate_size": 684, "num_heads": 8, "out_hidden_size": 256,
                    "window_size": 112, "fullatt_block_indexes": [3, 7]}}
SIDE, BASE_VOCAB = {"mini": 112, "small": 448}, {"mini": 1024, "small": 8160}


def cut_tokenizer(source: pathlib.Path, keep: int) -> dict:
    """The first `keep` ids (byte-pair ranks are prefix-closed), then Qwen2.5-VL's added tokens."""
    t = json.loads(source.read_text())
    vocab = {token: i for token, i in t["model"]["vocab"].items() if i < keep}
    pairs = [m.split(" ") if isinstance(m, str) else m for m in t["model"]["merges"]]
    t["model"] |= {"vocab": vocab, "merges": [m for m in pairs if "".join(m) in vocab]}
    t["added_tokens"] = [a | {"id": len(vocab) + i} for i, a in enumerate(t["added_tokens"][:ADDED])]
    return t


def write_tokenizer(out: pathlib.Path, source: pathlib.Path | None, keep: int) -> dict[str, int]:
    tokenizer = cut_tokenizer(source, keep) if source else json.loads((GOLDEN / "tokenizer.json").read_text())
    config = json.loads((GOLDEN / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in tokenizer["added_tokens"]}
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (out / "tokenizer_config.json").write_text(json.dumps(config))
    (out / "chat_template.json").write_text((GOLDEN / "chat_template.json").read_text())
    return {a["content"]: a["id"] for a in tokenizer["added_tokens"]}


def configs(name: str, ids: dict[str, int]) -> dict[str, dict]:
    end, image = [ids["<|im_end|>"], ids["<|endoftext|>"]], SIDE[name] ** 2
    vision = VISION[name] | {"hidden_act": "silu", "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2,
                             "spatial_patch_size": 14, "tokens_per_second": 2, "temporal_patch_size": 2}
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "vision_config": vision,
        "bos_token_id": end[1], "eos_token_id": end[0], "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"], "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"], "num_key_value_heads": 2, "hidden_act": "silu",
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": False,
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}, "torch_dtype": "float32", "use_sliding_window": False,
        **TEXT[name]}
    return {
        "config.json": config,
        "preprocessor_config.json": {
            "min_pixels": image, "max_pixels": image, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
            "image_mean": MEAN, "image_std": STD, "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2_5_VLProcessor"},
        "generation_config.json": {"bos_token_id": end[1], "pad_token_id": end[1], "eos_token_id": end, "do_sample": True,
                                   "repetition_penalty": 1.0, "temperature": 1.0}}


@torch.no_grad()
def randomise(model, seed: int = 99) -> None:
    """Well spread logits; a norm's gain around 1, a bias around 0."""
    gen = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=gen)
        if p.ndim == 1:
            p.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.1 * noise)
        else:
            scale = 0.6 if "embed_tokens" in name else (3.0 if "lm_head" in name else 1.0) / math.sqrt(p[0].numel())
            p.copy_(noise * scale)


def make(name: str, root: pathlib.Path, tokenizer: pathlib.Path | None) -> None:
    out = root / name
    out.mkdir(parents=True, exist_ok=True)
    ids = write_tokenizer(out, tokenizer, BASE_VOCAB[name])
    for file, value in configs(name, ids).items():
        (out / file).write_text(json.dumps(value, indent=1) + "\n")
    model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(out), dtype=torch.float32)
    randomise(model)
    published = lambda n: n.removeprefix("model.") if ".visual." in n else n.replace("model.language_model.", "model.")  # noqa: E731
    save_file({published(n): t.contiguous() for n, t in model.state_dict().items()}, out / "model.safetensors",
              metadata={"format": "pt"})
    print(f"{out}: {sum(p.numel() for p in model.parameters()):,} parameters, tokenizer of {max(ids.values()) + 1} ids")


if __name__ == "__main__":
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=pathlib.Path)
    ap.add_argument("--tokenizer", type=pathlib.Path)
    ap.add_argument("--only", nargs="*", default=list(TEXT), choices=list(TEXT))
    a = ap.parse_args()
    for name in a.only:
        make(name, a.out, a.tokenizer)
