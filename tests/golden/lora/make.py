"""Adapters made by PEFT, and what transformers computes with them: log-probs, entropies, gradients of every matrix.

    python make.py            writes adapters/, ref/ and versions.json beside it

The models are ../model/checkpoints/, the batch is the one in ../model/ref/*/train.safetensors. Everything is float32 with
eager attention. Both matrices of every module are drawn at random: a fresh adapter would change nothing.
"""
from __future__ import annotations

import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "model"
sys.path.insert(0, str(MODEL))
from reference import stats  # noqa: E402

TEXT = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
ADAPTERS = {  # name: (checkpoint, PEFT's configuration)
    # A list of names: the vision tower of Qwen2.5-VL has modules so called too.
    "names": ("qwen2_5_vl", dict(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "gate_proj", "down_proj"])),
    # Every linear layer of text, tower and mergers, the deepstack mergers too; scaled by the root of the rank.
    "everything": ("qwen3_vl-tied", dict(r=4, lora_alpha=8, use_rslora=True, target_modules="all-linear")),
    # Modules with a rank and an alpha of their own, one layer only.
    "exceptions": ("qwen2_vl-tied", dict(r=2, lora_alpha=3, target_modules=TEXT, lora_dropout=0.1, rank_pattern={
        "q_proj": 5, r"layers\.1\.mlp\.up_proj": 1}, alpha_pattern={"layers.0.self_attn.q_proj": 7, "q_proj": 2})),
}


def batch(checkpoint):
    dump = load_file(MODEL / "ref" / checkpoint / "train.safetensors")
    inputs = {"input_ids": dump["input_ids_i64"], "attention_mask": dump["attention_mask_i64"],
              "position_ids": dump["position_ids_i64"], "pixel_values": dump["pixel_values"],
              "image_grid_thw": dump["image_grid_thw_i64"]}
    return inputs, dump["completion_ids_i64"], dump["completion_mask_i64"]


def make(name):
    checkpoint, settings = ADAPTERS[name]
    model = AutoModelForImageTextToText.from_pretrained(MODEL / "checkpoints" / checkpoint, dtype=torch.float32,
                                                        attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(bias="none", **settings)).eval()
    gen, trained = torch.Generator().manual_seed(3), {}
    for key, p in model.named_parameters():
        if p.requires_grad:
            p.data.copy_(torch.randn(p.shape, generator=gen) * 0.3)
            trained[key.replace(".default", "")] = p
    out = HERE / "adapters" / name
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    path = out / "adapter_config.json"  # no path of the machine that made it; PEFT writes lists in the order of a set
    said = json.loads(path.read_text()) | {"base_model_name_or_path": checkpoint}
    if isinstance(said["target_modules"], list):
        said["target_modules"].sort()
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    inputs, completion, mask = batch(checkpoint)
    logits = model(**inputs, use_cache=False).logits[:, -completion.shape[1] - 1:-1]
    logp, entropy = stats(logits, completion)
    loss = -(logp * mask).sum() / mask.sum()
    loss.backward()
    plain = load_file(MODEL / "ref" / checkpoint / "train.safetensors")["logprobs"]
    grads = {key: p.grad.clone() for key, p in trained.items()}
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in grads.values())
    (HERE / "ref").mkdir(exist_ok=True)
    values = {"logprobs": logp, "entropy": entropy, "loss": loss[None]} | {f"grad.{k}": g for k, g in grads.items()}
    save_file({k: v.detach().contiguous() for k, v in values.items()}, HERE / "ref" / f"{name}.safetensors")
    return {"modules": len(grads) // 2, "largest change of a log-prob": ((logp - plain) * mask).abs().max().item()}


if __name__ == "__main__":
    import peft
    import transformers
    report = {name: make(name) for name in ADAPTERS}
    versions = {"peft": peft.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    (HERE / "versions.json").write_text(json.dumps(versions | report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
