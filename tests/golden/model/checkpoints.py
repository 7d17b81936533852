"""Very small random Qwen2-VL / Qwen2.5-VL / Qwen3-VL checkpoints, each in another of the layouts found in the wild.

Weights are drawn so that logits are well spread (with a 0.02 initialisation a wrong RoPE or window would hardly move
them) and rounded to the stored dtype, so that reading them back as float32 is exact.
"""
from __future__ import annotations

import json
import math
import pathlib
from dataclasses import dataclass

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForImageTextToText

import tokenizer

VOCAB = 312  # a few rows more than any of the tokenizers has ids, as in the published models
PATCH = 4
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
ARCHITECTURE = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}


@dataclass(frozen=True)
class Model:
    """`mix` scales o_proj and down_proj, `embed` the token table: with tied embeddings the layers must outweigh it."""
    family: str
    tied: bool
    layers: int           # of the decoder
    depth: int            # of the vision tower
    seed: int
    mix: float
    embed: float
    dtype: torch.dtype
    shards: int
    nested: bool          # config.json with text_config (as transformers 5 writes) or flat (as first published)
    memory_names: bool    # model.visual.* / model.language_model.* instead of visual.* / model.*
    merges_as: str
    template_in: str
    full: bool            # with activations and gradients in its reference


MODELS = {
    "qwen2_5_vl": Model("qwen2_5_vl", False, 3, 4, 14, 1.0, 0.6, torch.bfloat16, 2, False, False, "pair", "chat_template.json", True),
    "qwen3_vl-tied": Model("qwen3_vl", True, 3, 4, 21, 3.0, 0.3, torch.bfloat16, 1, True, True, "pair", "chat_template.jinja", True),
    "qwen2_vl-tied": Model("qwen2_vl", True, 2, 3, 13, 3.0, 0.3, torch.float16, 1, False, False, "text", "tokenizer_config.json", True),
    "qwen2_5_vl-tied": Model("qwen2_5_vl", True, 2, 3, 17, 3.0, 0.3, torch.bfloat16, 1, True, True, "text", "chat_template.json", False),
}


def text_config(m: Model, ids) -> dict:
    rope = {"mrope_section": [4, 2, 2], "mrope_interleaved": True, "rope_type": "default"} if m.family == "qwen3_vl" \
        else {"mrope_section": [1, 1, 2], "type": "mrope"}
    extra = {"head_dim": 16, "attention_bias": False} if m.family == "qwen3_vl" else {
        "max_window_layers": m.layers, "sliding_window": 4096, "use_sliding_window": False}
    return {
        "attention_dropout": 0.0, "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"],
        "hidden_act": "silu", "hidden_size": 32, "initializer_range": 0.02, "intermediate_size": 36,
        "max_position_embeddings": 4096, "num_attention_heads": 4, "num_hidden_layers": m.layers, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6, "rope_theta": 5e6 if m.family == "qwen3_vl" else 1e6, "rope_scaling": rope,
        "tie_word_embeddings": m.tied, "use_cache": True, "vocab_size": VOCAB, **extra,
    }


def vision_config(m: Model) -> dict:
    family, shared = m.family, {"depth": m.depth, "num_heads": 2, "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2}
    if family == "qwen2_vl":
        return shared | {"embed_dim": 16, "mlp_ratio": 2, "in_chans": 3, "hidden_size": 32, "spatial_patch_size": PATCH}
    shared |= {"hidden_size": 16, "intermediate_size": 20, "out_hidden_size": 32}
    if family == "qwen2_5_vl":
        return shared | {"hidden_act": "silu", "in_chans": 3, "spatial_patch_size": PATCH, "window_size": 8 * PATCH,
                         "fullatt_block_indexes": [1] if m.depth == 3 else [1, 3], "tokens_per_second": 2}
    return shared | {"hidden_act": "gelu_pytorch_tanh", "in_channels": 3, "deepstack_visual_indexes": [0, 2],
                     "num_position_embeddings": 49, "model_type": "qwen3_vl", "initializer_range": 0.02}


def files(m: Model, ids) -> dict[str, dict]:
    """The JSON files beside the weights."""
    special = {k: ids[f"<|{v}|>"] for k, v in {
        "vision_start_token_id": "vision_start", "vision_end_token_id": "vision_end", "image_token_id": "image_pad",
        "video_token_id": "video_pad"}.items()}
    text = text_config(m, ids)
    config = {"architectures": [ARCHITECTURE[m.family] + "ForConditionalGeneration"], "model_type": m.family, **special,
              "tie_word_embeddings": m.tied, "vision_config": vision_config(m)}
    config |= {"text_config": text | {"model_type": m.family + "_text"}, "dtype": str(m.dtype)[6:]} if m.nested \
        else {**text, "torch_dtype": str(m.dtype)[6:]}
    limits = {"size": {"shortest_edge": 256, "longest_edge": 4096}} if m.family == "qwen3_vl" \
        else {"min_pixels": 256, "max_pixels": 4096}
    processor = {**limits, "patch_size": PATCH, "temporal_patch_size": 2, "merge_size": 2,
                 **(HALF if m.family == "qwen3_vl" else CLIP), "image_processor_type": "Qwen2VLImageProcessor",
                 "processor_class": ARCHITECTURE[m.family] + "Processor"}
    end = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    generation = {"bos_token_id": end[1], "pad_token_id": end[1], "eos_token_id": end, "do_sample": True,
                  "repetition_penalty": 1.0, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
    out = {"config.json": config, "preprocessor_config.json": processor, "generation_config.json": generation}
    if m.family == "qwen3_vl":
        video = {k: v for k, v in processor.items() if k != "image_processor_type"}
        out["video_preprocessor_config.json"] = video | {"video_processor_type": "Qwen3VLVideoProcessor"}
    return out


@torch.no_grad()
def randomise(model, m: Model) -> None:
    gen = torch.Generator().manual_seed(m.seed)
    for name, p in sorted(model.named_parameters()):
        noise = torch.randn(p.shape, generator=gen)
        if p.ndim == 1:
            gain = name.endswith("weight")  # a norm's gain sits around 1, a bias around 0
            value = 1 + 0.2 * noise if gain else 0.1 * noise
        elif "embed_tokens" in name or "pos_embed" in name:
            value = noise * (m.embed if "embed_tokens" in name else 0.6)
        else:
            residual = "language_model" in name and ("o_proj" in name or "down_proj" in name)
            scale = 3.0 if "lm_head" in name else m.mix if residual else 1.0
            value = noise * (scale / math.sqrt(p[0].numel()))
        p.copy_(value.to(m.dtype).float())


def published(name: str, family: str) -> str:
    """The name in a published file of what transformers calls `name` in memory."""
    if family == "qwen3_vl":
        return name
    return name.removeprefix("model.") if name.startswith("model.visual.") else name.replace("model.language_model.", "model.")


def save(state: dict[str, torch.Tensor], out: pathlib.Path, shards: int) -> None:
    if shards == 1:
        return save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    names, where = sorted(state), {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        save_file({n: state[n] for n in part}, out / file, metadata={"format": "pt"})
        where |= {n: file for n in part}
    size = sum(t.numel() * t.element_size() for t in state.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (out / "model.safetensors.index.json").write_text(json.dumps(index) + "\n")


def make(name: str, out: pathlib.Path, templates: pathlib.Path):
    """Writes the checkpoint and returns the model as transformers reads it back."""
    m = MODELS[name]
    template = (templates / ("qwen3_vl.jinja" if m.family == "qwen3_vl" else "qwen2_5_vl.jinja")).read_text()
    ids = tokenizer.write(out, m.family, template, m.merges_as, m.template_in)
    for file, value in files(m, ids).items():
        (out / file).write_text(json.dumps(value, indent=1) + "\n")
    model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(out), dtype=torch.float32)
    randomise(model, m)
    state = {n: t.to(m.dtype).contiguous() for n, t in model.state_dict().items() if not (m.tied and n == "lm_head.weight")}
    save(state if m.memory_names else {published(n, m.family): t for n, t in state.items()}, out, m.shards)
    loaded, info = AutoModelForImageTextToText.from_pretrained(
        out, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(info.values()), info
    for n, t in model.state_dict().items():
        assert torch.equal(t, loaded.state_dict()[n]), n
    return loaded.eval()
