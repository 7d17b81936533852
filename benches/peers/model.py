"""Forward + backward and decoding of the `small` checkpoint, ours and PyTorch's in turn within one run.

    model.py prepare CHECKPOINT                                  writes CHECKPOINT/bench_inputs.safetensors
    model.py compare CHECKPOINT [--ours BINARY] [--rounds 7] [--threads 2 1] [--works a b d] [--json FILE]

Work `a`: 8 different prompts (448x448 image -> 256 image tokens; 288 tokens with the text) of one 64-token completion each.
Work `b`: the first of these prompts with 8 completions of 64 tokens.
Work `d`: greedy generation of 64 tokens for the 8 prompts; the time is from the first token chosen to the last.

Our side is started as `BINARY CHECKPOINT INPUTS` with RAYON_NUM_THREADS set. It reads one letter a line and answers it with one
line: for `a` and `b` `ms loss gradnorm peak_rss_mib` (loss: mean over the 512 completion tokens of -log p, temperature 1;
gradnorm: over all parameters, all trainable; ms: forward and backward, neither the norm nor an optimiser), for `d`
`decode_ms mean_logprob total_ms peak_rss_mib` (log-probs of the raw distribution; total_ms includes the prefill).

INPUTS, all written here and read by both sides (i64 and f32):
    a.prompt_ids_i64 [8,288]  a.completion_ids_i64 [8,64]  a.pixel_values [8192,1176]  a.image_grid_thw_i64 [8,3]
    b.prompt_ids_i64 [1,288]  b.completion_ids_i64 [8,64]  b.pixel_values [1024,1176]  b.image_grid_thw_i64 [1,3]
    d.suppressed_i64 [n]      ids never chosen in `d`: end tokens, image and video pads, rows that no token has
"""
from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

import machine

HERE = pathlib.Path(__file__).resolve().parent
ROWS, PROMPT, COMPLETION, SIDE = 8, 288, 64, 448
PEERS = ("shipped", "tuned")


def prepare(checkpoint: pathlib.Path) -> None:
    import torch
    from PIL import Image
    from safetensors.torch import save_file
    from transformers import AutoProcessor

    sys.path.insert(0, str(HERE.parents[1] / "tests/golden/model"))
    from synth import synth_rgb

    config, tokens = json.loads((checkpoint / "config.json").read_text()), json.loads((checkpoint / "tokenizer.json").read_text())
    pictures = [Image.fromarray(synth_rgb(SIDE, SIDE, i)) for i in range(ROWS)]
    images = AutoProcessor.from_pretrained(checkpoint).image_processor(images=pictures, return_tensors="pt")
    first_added = min(t["id"] for t in tokens["added_tokens"])
    gen = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randint(0, first_added, shape, generator=gen)  # noqa: E731
    count = images["image_grid_thw"][0].prod().item() // 4
    special = [config[k] for k in ("vision_start_token_id", "vision_end_token_id")]
    text = draw(ROWS, PROMPT - count - 2)
    row = lambda t: torch.cat([t[:8], torch.tensor([special[0]] + [config["image_token_id"]] * count + [special[1]]), t[8:]])  # noqa: E731
    prompts = torch.stack([row(t) for t in text])
    per = len(images["pixel_values"]) // ROWS
    suppressed = {config["image_token_id"], config["video_token_id"], config["eos_token_id"], config["bos_token_id"],
                  *range(max(t["id"] for t in tokens["added_tokens"]) + 1, config["vocab_size"])}
    tensors = {"a.prompt_ids_i64": prompts, "b.prompt_ids_i64": prompts[:1], "a.completion_ids_i64": draw(ROWS, COMPLETION),
               "b.completion_ids_i64": draw(ROWS, COMPLETION), "a.pixel_values": images["pixel_values"],
               "b.pixel_values": images["pixel_values"][:per], "a.image_grid_thw_i64": images["image_grid_thw"],
               "b.image_grid_thw_i64": images["image_grid_thw"][:1], "d.suppressed_i64": torch.tensor(sorted(suppressed))}
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, checkpoint / "bench_inputs.safetensors")
    print({k: list(v.shape) for k, v in tensors.items()})


class Side:
    def __init__(self, name: str, command: list[str], threads: int):
        self.name, self.rows = name, []
        self.process = subprocess.Popen(command, env=machine.environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, cwd=HERE)

    def ask(self, work: str) -> list[float]:
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended in work {work} with exit code {self.process.wait()}")
        return [float(x) for x in line.split()]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def rounds_of(a, work: str, threads: int) -> dict:
    """One fresh process a side, so that the peak memory is this work's; the sides take turns."""
    inputs = str(a.checkpoint / "bench_inputs.safetensors")
    torch_side = lambda mode: [sys.executable, "model_torch.py", str(a.checkpoint), inputs, str(threads), mode]  # noqa: E731
    sides = [Side("ours", [str(a.ours), str(a.checkpoint), inputs], threads)] if a.ours else []
    sides += [Side(mode, torch_side(mode), threads) for mode in a.peers]
    before, start = machine.busy_s(), time.monotonic()
    for turn in range(a.rounds + 1):
        for side in sides:
            time.sleep(0.15)
            answer = side.ask(work)
            if turn:  # the first is the warm-up
                side.rows.append(answer)
    load = (machine.busy_s() - before) / (time.monotonic() - start)
    for side in sides:
        side.close()
    return {s.name: {"min_ms": min(r[0] for r in s.rows), "median_ms": statistics.median(r[0] for r in s.rows),
                     "values": s.rows[-1][1:3], "peak_rss_mib": s.rows[-1][3], "cores_busy": round(load, 2)} for s in sides}


def show(work: str, threads: int, result: dict) -> None:
    for name, r in result.items():
        ratio = ""
        if "ours" in result and name != "ours":
            o = result["ours"]
            ratio = f"  ours/this: min {o['min_ms'] / r['min_ms']:.2f} median {o['median_ms'] / r['median_ms']:.2f}" \
                    f" memory {o['peak_rss_mib'] / r['peak_rss_mib']:.2f}"
        x, y = r["values"]
        value = f"log p {x:.6f} total {y:.0f} ms {8 * 63 / r['min_ms'] * 1e3:.0f} tok/s" if work == "d" else f"loss {x:.6f} |g| {y:.6f}"
        print(f"{work} {threads}t {name:8s} min {r['min_ms']:8.1f} median {r['median_ms']:8.1f} ms  {value}"
              f"  {r['peak_rss_mib']:.0f} MiB{ratio}", flush=True)
    values = [r["values"][:1] if work == "d" else r["values"] for r in result.values()]
    apart = max(abs(x - y) / max(abs(y), 1e-9) for v in values for x, y in zip(v, values[-1]))
    print(f"{work} {threads}t values agree to {apart:.1e} relative{'' if apart < 1e-4 else '  <-- THEY DIFFER'};"
          f" machine: {next(iter(result.values()))['cores_busy']} cores busy in all", flush=True)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=("prepare", "compare"))
    ap.add_argument("checkpoint", type=lambda p: pathlib.Path(p).resolve())
    ap.add_argument("--ours", type=lambda p: pathlib.Path(p).resolve())
    ap.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    ap.add_argument("--rounds", type=int, default=7)
    ap.add_argument("--threads", type=int, nargs="*", default=[2])
    ap.add_argument("--works", nargs="*", default=["a", "b", "d"])
    ap.add_argument("--json", type=pathlib.Path)
    a = ap.parse_args()
    if a.what == "prepare":
        return prepare(a.checkpoint)
    everything = {}
    for threads in a.threads:
        for work in a.works:
            result = everything[f"{work} {threads}t"] = rounds_of(a, work, threads)
            show(work, threads, result)
    if a.json:
        a.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
