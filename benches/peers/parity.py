"""Runs our `parity` over many checkpoints and prints one table; exits with 1 if a row fails or is missing.

    parity.py BINARY CHECKPOINTS REFERENCES [--only NAME ...] [--json FILE]

BINARY is target/release/examples/parity; every folder of REFERENCES whose name is also one of CHECKPOINTS is compared. The
committed pair is tests/golden/model/{checkpoints,ref}, written by transformers through tests/golden/model/make.py.

The binary is started as `BINARY CHECKPOINT REFERENCE` and prints a line a quantity,

    <quantity>   <largest difference>  <= <tolerance>  ok|FAILED

REQUIRED names the quantities that must appear (those in brackets only where the reference has them); others are shown too.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import re
import subprocess

from safetensors import safe_open

LINE = re.compile(r"^(?P<name>\S.*?)\s{2,}(?P<value>[-+.\deE]+|NaN|inf)\s+<=\s+(?P<tolerance>[-+.\deE]+)\s+(?P<verdict>ok|FAILED)\s*$")
# quantity: the tensor of some single_*.safetensors without which it is not expected ("" if always expected)
REQUIRED = {"positions differing": "", "rope delta": "", "ViT blocks": "vision.block.0", "vision output": "vision.output",
            "deepstack": "vision.deepstack.0", "text layers": "text.layer.0", "logits": "", "log-probs": "", "entropy": "",
            "batch log-probs": "", "batch entropy": "", "loss": "", "gradients (relative)": "", "gradients of the dump not compared": "",
            "greedy tokens differing": ""}


def expected(reference: pathlib.Path) -> list[str]:
    held = set()
    for file in reference.glob("single_*.safetensors"):
        with safe_open(file, "np") as f:
            held |= set(f.keys())
    return [quantity for quantity, tensor in REQUIRED.items() if not tensor or tensor in held]


def rows_of(binary: pathlib.Path, checkpoint: pathlib.Path, reference: pathlib.Path) -> dict[str, tuple[str, str, str]]:
    done = subprocess.run([binary, checkpoint, reference], capture_output=True, text=True)
    found = {m["name"]: (m["value"], m["tolerance"], m["verdict"]) for m in map(LINE.match, done.stdout.splitlines()) if m}
    if not found:
        found["(nothing printed)"] = ("", "", f"exit code {done.returncode}: {done.stderr.strip().splitlines()[:1]}")
    elif done.returncode and all(r[2] == "ok" for r in found.values()):
        found["(exit code)"] = (str(done.returncode), "0", "FAILED")
    return found | {q: ("", "", "missing") for q in expected(reference) if q not in found}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda p: pathlib.Path(p).resolve()  # noqa: E731
    for name in ("binary", "checkpoints", "references"):
        ap.add_argument(name, type=path)
    ap.add_argument("--only", nargs="*")
    ap.add_argument("--json", type=path)
    a = ap.parse_args()
    names = [d.name for d in sorted(a.references.iterdir()) if d.is_dir() and (a.checkpoints / d.name).is_dir()]
    names = [n for n in names if not a.only or n in a.only]
    if not names:
        raise SystemExit(f"no folder of {a.references} is also one of {a.checkpoints}")
    results = {n: rows_of(a.binary, a.checkpoints / n, a.references / n) for n in names}
    quantities = list(REQUIRED) + sorted({q for r in results.values() for q in r} - set(REQUIRED))
    print(f"| largest difference | tolerance | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for q in quantities:
        cells = [results[n].get(q) for n in names]
        if not any(cells):
            continue
        tolerance = next((c[1] for c in cells if c and c[1]), "")
        shown = ["" if c is None else c[0] if c[2] == "ok" else f"**{c[0]} {c[2]}**" for c in cells]
        print(f"| {q} | {tolerance} | {' | '.join(shown)} |")
    if a.json:
        a.json.write_text(json.dumps(results, indent=1) + "\n")
    bad = [f"{n}: {q}: {c[2]}" for n, r in results.items() for q, c in r.items() if c[2] != "ok"]
    if bad:
        raise SystemExit("\n".join(bad))


if __name__ == "__main__":
    main()
