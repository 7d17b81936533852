"""The PyTorch side of model.py: model_torch.py CHECKPOINT INPUTS THREADS shipped|tuned, then a line of work per line read.

shipped: transformers' model as it is, SDPA, float32, logits of the completion tokens alone; every completion of a group
carries its own copy of the prompt and image, as trainers feed it.
tuned:   what a good PyTorch programmer would add: the patch embedding as a matmul (Conv3d is slow on CPUs), windows of equal
length in one SDPA call, and for work `b` the image through the tower once, its features repeated.

Answers: `a`, `b`: `ms loss gradnorm peak_rss_mib`; `d`: `decode_ms mean_logprob total_ms peak_rss_mib`.
"""
from __future__ import annotations

import resource
import sys
import time

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, StoppingCriteria, StoppingCriteriaList

CHECKPOINT, INPUTS, THREADS, MODE = sys.argv[1:5]
torch.set_num_threads(int(THREADS))
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
model = AutoModelForImageTextToText.from_pretrained(CHECKPOINT, dtype=torch.float32, attn_implementation="sdpa").eval()
inputs = load_file(INPUTS)
IMAGE = model.config.image_token_id


def patches_by_matmul(self, x):
    return F.linear(x, self.proj.weight.flatten(1))


def windows_at_once(self, x, cu_seqlens, position_embeddings=None, **_):
    """All chunks have one length here, so they are the batch of a single call."""
    n, length = len(x), int(cu_seqlens[1] - cu_seqlens[0])
    q, k, v = self.qkv(x).reshape(n, 3, self.num_heads, -1).permute(1, 0, 2, 3).unbind(0)
    cos, sin = (t[:, None] for t in position_embeddings)
    turn = lambda t: t * cos + torch.cat([-t[..., t.shape[-1] // 2:], t[..., :t.shape[-1] // 2]], -1) * sin  # noqa: E731
    chunk = lambda t: t.view(-1, length, *t.shape[1:]).transpose(1, 2)  # noqa: E731
    out = F.scaled_dot_product_attention(chunk(turn(q)), chunk(turn(k)), chunk(v))
    return self.proj(out.transpose(1, 2).reshape(n, -1))


if MODE == "tuned":
    type(model.model.visual.patch_embed).forward = patches_by_matmul
    type(model.model.visual.blocks[0].attn).forward = windows_at_once


def batch(work: str) -> dict:
    """Rows of prompt + completion; for `b` the one prompt (and, shipped, its image) once a completion."""
    prompt, completion = inputs[f"{work}.prompt_ids_i64"], inputs[f"{work}.completion_ids_i64"]
    pixels, grid = inputs[f"{work}.pixel_values"], inputs[f"{work}.image_grid_thw_i64"]
    rows = len(completion) // len(prompt)
    ids = torch.cat([prompt.repeat(rows, 1), completion], 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": (ids == IMAGE).long(),
            "pixel_values": pixels.repeat(rows, 1), "image_grid_thw": grid.repeat(rows, 1), "completion": completion}


def logits(work: str, rows: dict) -> torch.Tensor:
    keep = rows["completion"].shape[1] + 1
    enc = {k: v for k, v in rows.items() if k != "completion"}
    model.model.rope_deltas = None
    if MODE == "shipped" or work != "b":
        return model(**enc, use_cache=False, logits_to_keep=keep).logits[:, :-1]
    positions, _ = model.model.get_rope_index(enc["input_ids"], enc["mm_token_type_ids"], enc["image_grid_thw"])
    image = model.model.get_image_features(inputs["b.pixel_values"], inputs["b.image_grid_thw_i64"], return_dict=True)
    features = torch.cat(image.pooler_output).repeat(len(enc["input_ids"]), 1)
    x = model.model.language_model.embed_tokens(enc["input_ids"])
    x = x.masked_scatter((enc["input_ids"] == IMAGE)[..., None], features)
    hidden = model.model.language_model(inputs_embeds=x, position_ids=positions, use_cache=False).last_hidden_state
    return model.lm_head(hidden[:, -keep:-1])


def train(work: str, rows: dict) -> tuple[float, float, float]:
    model.zero_grad(set_to_none=True)
    start = time.perf_counter()
    loss = F.cross_entropy(logits(work, rows).flatten(0, 1), rows["completion"].flatten())
    loss.backward()
    ms = (time.perf_counter() - start) * 1e3
    norm = sum(p.grad.double().square().sum() for p in model.parameters()).sqrt()
    return ms, loss.item(), norm.item()


class Stamps(StoppingCriteria):
    """The time of each token choice; stops nothing."""

    def __init__(self):
        self.at = []

    def __call__(self, ids, _scores, **_):
        self.at.append(time.perf_counter())
        return torch.zeros(len(ids), dtype=torch.bool)


@torch.no_grad()
def decode(scored: dict = {}) -> tuple[float, float, float]:
    """Greedy, 8 prompts, as many tokens as the completions have; decode is from the first token chosen to the last."""
    ids, count = inputs["a.prompt_ids_i64"], inputs["a.completion_ids_i64"].shape[1]
    rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": (ids == IMAGE).long(),
            "pixel_values": inputs["a.pixel_values"], "image_grid_thw": inputs["a.image_grid_thw_i64"]}
    model.model.rope_deltas, model.generation_config.eos_token_id = None, None
    stamps, first = Stamps(), "logprob" not in scored
    start = time.perf_counter()
    out = model.generate(**rows, max_new_tokens=count, do_sample=False, temperature=None, top_p=None, top_k=None, pad_token_id=0,
                         suppress_tokens=inputs["d.suppressed_i64"].tolist(), stopping_criteria=StoppingCriteriaList([stamps]),
                         return_dict_in_generate=True, output_logits=first)
    if first:  # kept, as asking for the logits again would cost time
        new = out.sequences[:, ids.shape[1]:]
        scored["logprob"] = torch.stack(out.logits, 1).log_softmax(-1).gather(-1, new[..., None]).mean().item()
    return (stamps.at[-1] - stamps.at[0]) * 1e3, scored["logprob"], (stamps.at[-1] - start) * 1e3


work = {w: batch(w) for w in "ab"}
for line in sys.stdin:
    name = line.strip()
    ms, x, y = decode() if name == "d" else train(name, work[name])
    print(f"{ms:.1f} {x:.6f} {y:.6f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}", flush=True)
