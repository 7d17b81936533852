"""1920x1080 JPEG bytes -> patches: foveate beside transformers' torchvision ("fast") processor, interleaved.

    cargo build --release -p foveate-vision --example image_speed
    python benches/peers/images.py target/release/examples/image_speed [--threads 2] [--images 8] [--rounds 7]

Needs torch, torchvision, transformers 5 and pillow. Each round runs foveate once and transformers once with each
decoder, so that a busy machine slows both; printed are the best and the median pictures per second of the rounds and
the ratio to transformers' better decoder.
"""
from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch
import torchvision
import transformers
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor


def photo(height: int, width: int, seed: int) -> Image.Image:
    """Something a JPEG coder finds as hard as a photograph: noise blurred at several scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for k in (4, 8, 32, 128):
        small = rng.normal(size=(height // k + 2, width // k + 2, 3)).astype(np.float32)
        planes = [Image.fromarray(small[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(3)]
        total += np.stack([np.asarray(p) for p in planes], -1) * k**0.5
    total = (total - total.min()) / (total.max() - total.min())
    return Image.fromarray((total * 255).astype(np.uint8))


def rate(work, count: int) -> float:
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("binary", type=pathlib.Path)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--images", type=int, default=8)
    ap.add_argument("--rounds", type=int, default=7)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    folder = pathlib.Path(tempfile.mkdtemp())
    jpegs = []
    for i in range(a.images):
        buffer = io.BytesIO()
        photo(1080, 1920, i).save(buffer, "JPEG", quality=90)
        jpegs.append(buffer.getvalue())
        (folder / f"{i}.jpg").write_bytes(jpegs[-1])
    with_pillow = lambda b: Image.open(io.BytesIO(b)).convert("RGB")  # noqa: E731
    with_torch = lambda b: torchvision.io.decode_jpeg(torch.frombuffer(bytearray(b), dtype=torch.uint8))  # noqa: E731
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}; "
          f"{a.images} pictures, {len(jpegs[0])} bytes each, {a.threads} threads, load {os.getloadavg()[0]:.1f}")
    for max_pixels in (12_845_056, 1_003_520):
        processor = Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": max_pixels})
        rounds: dict[str, list[float]] = {}
        for turn in range(a.rounds + 1):  # the first warms up
            out = subprocess.run([a.binary, folder, str(a.threads), "2", str(max_pixels)], check=True, capture_output=True, text=True)
            line = json.loads(out.stdout.splitlines()[-1])
            grid = line.pop("grid")
            row = {f"foveate {k}": v for k, v in line.items()}
            for name, decode in (("Pillow", with_pillow), ("torchvision.io", with_torch)):
                run = lambda: [processor(images=[decode(b)], return_tensors="pt") for b in jpegs]  # noqa: E731, B023
                row[f"transformers, {name}"] = rate(run, a.images)
                row[f"{name} decode"] = rate(lambda: [decode(b) for b in jpegs], a.images)  # noqa: B023
            assert processor(images=[with_pillow(jpegs[0])], return_tensors="pt")["image_grid_thw"].tolist() == [grid]
            for name, value in row.items() if turn else ():
                rounds.setdefault(name, []).append(value)
        print(f"\nmax_pixels {max_pixels}, grid {grid}: pictures per second, best (median)")
        for name, values in rounds.items():
            print(f"  {name:30s} {max(values):7.1f} ({statistics.median(values):.1f})")
        peers = [rounds[f"transformers, {name}"] for name in ("Pillow", "torchvision.io")]
        ratios = [mine / max(theirs) for mine, *theirs in zip(rounds["foveate whole"], *peers)]
        print(f"  ratio of each round: {', '.join(f'{r:.2f}' for r in ratios)}; median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
