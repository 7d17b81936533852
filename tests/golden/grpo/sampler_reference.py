"""Losses and gradients of TRL where the sampler's log-probs are not the trainer's (importance sampling correction).

    sampler_reference.py OUT_DIR

The ratios are made by TRL's own lines: the block of `GRPOTrainer._generate_and_score_completions` that makes them is
cut out of its source and run on a stand-in `self`; the loss is `GRPOTrainer._compute_loss`, as in grpo_reference.py,
on that script's batch. Some tokens were not sampled (NaN). Every case is recomputed by the plain formulas below.

Writes sampler_cases.json (settings, scalar results) and sampler_cases.safetensors (float64 tensors `CASE.NAME`).
"""
from __future__ import annotations

import argparse
import inspect
import json
import math
import pathlib
import textwrap
import types

import torch
import trl
from grpo_reference import BASE, WIDTH, data, plain_loss, trl_advantages, trl_loss
from safetensors.torch import save_file
from trl.trainer.grpo_trainer import GRPOTrainer

CASES = {
    f"{mode}{suffix}": {"mode": mode, "low": low, "high": high, "loss_type": "grpo", **more}
    for mode in ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
    for suffix, low, high, more in (("", None, 2.0, {}), ("_tight", 0.7, 1.2, {"loss_type": "dapo", "beta": 0.04}))
}


def trl_ratio(case, old, sampled, mask):
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    start = source.index("if self.use_vllm and self.vllm_importance_sampling_correction:\n                mask = ")
    block = source[start:source.index("# Compute the per-token log probabilities for the reference model", start)]
    block = textwrap.dedent(" " * 12 + block)
    me = types.SimpleNamespace(use_vllm=True, vllm_importance_sampling_correction=True,
                               vllm_importance_sampling_mode=case["mode"],
                               vllm_importance_sampling_clip_min=case["low"],
                               vllm_importance_sampling_clip_max=case["high"])
    names = {"self": me, "torch": torch, "math": math, "tool_mask": None, "completion_mask": mask,
             "old_per_token_logps": old, "sampling_per_token_logps": sampled}
    exec(block, names)
    return names["vllm_importance_sampling_ratio"]


def plain_ratio(case, old, sampled, mask):
    gap = torch.nan_to_num((old - sampled) * mask, nan=0.0)
    if case["mode"].startswith("sequence"):
        gap = gap.sum(1, keepdim=True)
    ratio, low = gap.exp(), case["low"] or 0.0
    if case["mode"].endswith("truncate"):
        return ratio.clamp(low, case["high"])
    return torch.where((ratio < low) | (ratio > case["high"]), 0.0, ratio)


def weighed_loss(case, logps, old, mask, adv, ratio):
    m, a = mask.double(), adv[:, None]
    r = (logps - old).exp()
    per = -torch.min(r * a, r.clamp(1 - case["eps_low"], 1 + case["eps_high"]) * a) * ratio
    if case["loss_type"] == "dapo":
        return (per * m).sum() / m.sum()
    return ((per * m).sum(1) / m.sum(1).clamp(min=1.0)).mean()


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("out", type=pathlib.Path)
    a = ap.parse_args()
    weights = torch.tensor([1.0, 0.5], dtype=torch.float64)
    tensors, report = {}, {"trl": trl.__version__, "torch": torch.__version__, "cases": {}}
    logps, old, ref, ent, mask, rpf = data(11, groups=3, size=4, width=WIDTH)
    rewards, adv = trl_advantages(rpf, weights, 4, "group")
    g = torch.Generator().manual_seed(12)
    sampled = old + 0.3 * torch.randn(old.shape, generator=g, dtype=torch.float64)
    sampled[:, 2::7] = float("nan")
    for name, spec in CASES.items():
        case = {**BASE, "group": 4, "max_completion_length": 32, **spec}
        ratio = trl_ratio(case, old, sampled, mask)
        x = logps.clone().requires_grad_()
        loss, _ = trl_loss(case, x, old, ref if case.get("beta") else None, ent, mask, adv, ratio)
        loss.backward()
        check_ratio = plain_ratio(case, old, sampled, mask)
        assert torch.equal(torch.nan_to_num(ratio), torch.nan_to_num(check_ratio)), name
        y = logps.clone().requires_grad_()
        policy = weighed_loss(case, y, old, mask, adv, check_ratio)
        kl = plain_loss(case, y, y.detach(), ref, mask, torch.zeros_like(adv)) if case.get("beta") else 0.0
        check = policy + kl
        check.backward()
        err = max(abs(check.item() - loss.item()), (x.grad - y.grad).abs().max().item())
        assert err < 1e-6, (name, loss.item(), check.item(), err)
        counted = check_ratio.expand_as(mask)[mask.bool()]
        report["cases"][name] = {**case, "loss": loss.item(), "plain_formula_error": err,
                                 "mean_weight": counted.mean().item()}
        tensors |= {f"{name}.grad": x.grad, f"{name}.loss": loss.detach()[None].double()}
        print(f"{name:24s} loss {loss.item():+.9f}  mean weight {counted.mean().item():.6f}  error {err:.1e}")
    tensors |= {"shared.advantages": adv, "shared.logps": logps, "shared.old_logps": old, "shared.ref_logps": ref,
                "shared.mask": mask.double(), "shared.sampled_logps": sampled}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, a.out / "sampler_cases.safetensors")
    (a.out / "sampler_cases.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
