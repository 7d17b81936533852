"""Rebuilds everything in this folder: `python make.py` (torch, transformers, trl, pillow < 13, numpy, safetensors).

Versions that made the committed files are in versions.json; another torch may differ in the last float32 digits.
`--search N` tries seeds instead and prints those whose greedy tokens are varied and clearly ahead of the second best.
"""
from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import tempfile

import torch
import trl

import checkpoints
import reference

HERE = pathlib.Path(__file__).resolve().parent
TEMPLATES = pathlib.Path(trl.__file__).parent / "chat_templates"  # the published Qwen templates, Apache-2.0
PACKAGES = ("torch", "transformers", "trl", "pillow", "numpy", "safetensors", "tokenizers")


def build(name: str, root: pathlib.Path) -> dict:
    folder = root / "checkpoints" / name
    model = checkpoints.make(name, folder, TEMPLATES)
    m = checkpoints.MODELS[name]
    return reference.dump(model, folder, root / "ref" / name, m.family, m.full)


def search(name: str, tries: int) -> None:
    for seed in range(1, tries + 1):
        checkpoints.MODELS[name] = dataclasses.replace(checkpoints.MODELS[name], seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            r = build(name, pathlib.Path(folder))
        if r["gap"] > 5e-3 and min(r["distinct"]) >= 8:
            print(name, seed, r, flush=True)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--search", type=int, default=0)
    ap.add_argument("--only", nargs="*", default=list(checkpoints.MODELS))
    a = ap.parse_args()
    torch.set_num_threads(1)
    for name in a.only:
        if a.search:
            search(name, a.search)
        else:
            print(name, build(name, HERE))
    if not a.search:
        reference.windows(HERE / "ref" / "windows.json")
        versions = {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}}
        (HERE / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
