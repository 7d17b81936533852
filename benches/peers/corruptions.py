"""imagecorruptions beside `cargo bench -p foveate-augment --bench speed`, one core each, in one run.

    python benches/peers/corruptions.py [--width 1024 --height 1024 --levels 3 --names a,b] [--ours FILE.jsonl] [--runs 3]

Prints a table of milliseconds of computing (process time, so that other work on the machine does not count) and ratios,
least of the runs each. --ours takes lines printed before instead of running
the Rust side. Needs the packages that tests/golden/augment/random.json names.
"""
from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import time

for _v in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_v] = "1"
import cv2  # noqa: E402
import numpy as np  # noqa: E402

import imagecorruptions_peer as peer  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def picture(h: int, w: int) -> np.ndarray:
    """As in augment/benches/speed.rs, in wrapping integers."""
    u = np.uint32
    y, x, c = np.meshgrid(np.arange(h, dtype=u), np.arange(w, dtype=u), np.arange(3, dtype=u), indexing="ij")
    ramp = (x * u(255) // u(max(w - 1, 1)) * (c + u(1)) + y * u(255) // u(max(h - 1, 1)) * (u(3) - c)) // u(4)
    check = np.where(((x >> u(3)) ^ (y >> u(3)) ^ c) & u(1), u(96), u(0))
    n = x * u(374761393) + y * u(668265263) + c * u(2246822519)
    n = (n ^ (n >> u(13))) * u(1274126177)
    n ^= n >> u(16)
    return ((ramp + check + np.where((n & u(7)) == 0, n >> u(24), u(0))) & u(255)).astype(np.uint8)


def main() -> None:
    ap = argparse.ArgumentParser()
    ap.add_argument("--width", type=int, default=1024)
    ap.add_argument("--height", type=int, default=1024)
    ap.add_argument("--levels", default="3")
    ap.add_argument("--names", default=",".join(peer.names("all")))
    ap.add_argument("--ours", type=pathlib.Path)
    ap.add_argument("--runs", type=int, default=3)
    a = ap.parse_args()
    cv2.setNumThreads(1)
    if a.ours:
        lines = a.ours.read_text().splitlines()
    else:
        command = ["cargo", "bench", "-q", "-p", "foveate-augment", "--bench", "speed", "--"]
        command += [str(a.width), str(a.height), a.levels, a.names]
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    ours = {(r["name"], r["level"]): r["ms"] for r in map(json.loads, lines)}
    image = picture(a.height, a.width)
    print(f"| corruption | level | imagecorruptions ms | foveate ms | ratio |\n|---|---|---|---|---|")
    total = [0.0, 0.0]
    for name in a.names.split(","):
        for level in map(int, a.levels.split(",")):
            peer.corrupt(image[:64, :64], name, level)
            best = float("inf")
            for _ in range(a.runs):
                start = time.process_time()
                peer.corrupt(image, name, level)
                best = min(best, 1000 * (time.process_time() - start))
            if name in peer.names("common"):
                total = [total[0] + best, total[1] + ours[name, level]]
            print(f"| {name} | {level} | {best:.1f} | {ours[name, level]:.1f} | {best / ours[name, level]:.1f} |", flush=True)
    print(f"| sum of the common ones | | {total[0]:.0f} | {total[1]:.0f} | {total[0] / max(total[1], 1e-9):.1f} |")
    print(f"\nload of the machine {os.getloadavg()}")


if __name__ == "__main__":
    main()
