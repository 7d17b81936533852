"""Adapters between foveate and PEFT: the same keys, the same log-probs, merged and not.

    lora.py MODEL --foveate target/release/foveate --adapter DIR [--tolerance 1e-3]
    lora.py MODEL --foveate target/release/foveate --made-by-peft [--seed 0]

`--adapter`: one that foveate wrote (a checkpoint of a run with [model.lora]). It is put on MODEL by PEFT's own loader, which
must report no missing and no unexpected key, and must change every module that the file names; then the log-probs of prompts
with pictures (roundtrip.py's) by transformers + PEFT, by `foveate score --adapter`, by PEFT's merged model and by the
directory that `foveate merge` wrote are compared. `--made-by-peft`: an adapter that PEFT made on every linear layer, with
both matrices drawn at random, takes its place. Fails above the tolerance.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from roundtrip import rows, theirs


def base(path: pathlib.Path):
    return AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32).eval()


def make(model: pathlib.Path, out: pathlib.Path, seed: int) -> None:
    peft = get_peft_model(base(model), LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))
    gen = torch.Generator().manual_seed(seed)
    for p in (p for p in peft.parameters() if p.requires_grad):
        p.data.copy_(torch.randn(p.shape, generator=gen) * 0.05)
    peft.save_pretrained(out)


def loaded(model: pathlib.Path, adapter: pathlib.Path) -> PeftModel:
    """MODEL with the adapter, and that every key found its place."""
    peft = PeftModel(base(model), PeftConfig.from_pretrained(adapter))
    result = peft.load_adapter(str(adapter), "default")
    missing = [k for k in result.missing_keys if ".lora_" in k]
    modules = {n for n, m in peft.named_modules() if hasattr(m, "lora_A") and len(m.lora_A)}
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        named = {k.rsplit(".lora_", 1)[0] for k in file.keys()}
    print(f"{len(named)} modules; missing keys: {missing or 'none'}; unexpected keys: {result.unexpected_keys or 'none'}")
    if missing or result.unexpected_keys or modules != named:
        raise SystemExit(f"modules that differ: {sorted(modules ^ named)[:5]}")
    return peft.eval()


def scores(foveate: pathlib.Path, words: list, asked: pathlib.Path) -> dict:
    out = asked.with_name("out.jsonl")
    out.unlink(missing_ok=True)
    subprocess.run([foveate, "score", *words, asked, "--out", out], check=True, stderr=subprocess.DEVNULL)
    return {r["id"]: r for r in map(json.loads, out.read_text().splitlines())}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda p: pathlib.Path(p).resolve()  # noqa: E731
    ap.add_argument("model", type=path)
    ap.add_argument("--foveate", type=path, required=True)
    which = ap.add_mutually_exclusive_group(required=True)
    which.add_argument("--adapter", type=path)
    which.add_argument("--made-by-peft", action="store_true")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--tolerance", type=float, default=1e-3)
    a = ap.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        adapter, asked = a.adapter or folder / "adapter", folder / "in.jsonl"
        if a.made_by_peft:
            make(a.model, adapter, a.seed)
        peft, processor = loaded(a.model, adapter), AutoProcessor.from_pretrained(a.model)
        wanted = rows(processor, folder)
        asked.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in wanted))
        want = {r["id"]: theirs(peft.get_base_model(), processor, r) for r in wanted}
        merged = peft.merge_and_unload()
        subprocess.run([a.foveate, "merge", a.model, "--adapter", adapter, "--out", folder / "merged"], check=True,
                       stdout=subprocess.DEVNULL)
        plain = scores(a.foveate, ["--model", a.model], asked)
        sides = {
            "foveate score --adapter": scores(a.foveate, ["--model", a.model, "--adapter", adapter], asked),
            "foveate merge, foveate score": scores(a.foveate, ["--model", folder / "merged"], asked),
            "PEFT merge_and_unload": {r["id"]: theirs(merged, processor, r) for r in wanted},
            "foveate merge, transformers": {r["id"]: theirs(base(folder / "merged"), processor, r) for r in wanted},
        }
    gap = lambda got: max((torch.as_tensor(got[n]["logprobs"]) - w["logprobs"]).abs().max().item() for n, w in want.items())  # noqa: E731
    print(f"the adapter changes log-probs by up to {gap(plain):.2f}; apart from transformers + PEFT:")
    for name, got in sides.items():
        print(f"  {name:<30}{gap(got):.1e}")
    if max(map(gap, sides.values())) > a.tolerance:
        raise SystemExit(f"more than {a.tolerance:.0e} apart")


if __name__ == "__main__":
    main()
