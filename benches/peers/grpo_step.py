"""A whole GRPO step on easy-VQA beside TRL and plain PyTorch: images from disk, rollout, reward, update.

    grpo_step.py CHECKPOINTS DATA --out RESULTS.jsonl [--ours BINARY] [--models mini small] [--threads 1 2] [--rounds 3]
    grpo_step.py --table RESULTS.jsonl

CHECKPOINTS is the folder of checkpoints.py, DATA the easy_vqa wheel or its unpacked data/ folder. Every round runs each side
once, one after the other, in a fresh process; the table takes the best round of each side at its better thread count.

Our side is `BINARY CHECKPOINT ROWS --prompts P --group G --tokens T --steps S --warmup W --threads N --beta B` and prints one
JSON object on its last line with at least
    side ("ours"), checkpoint (the folder's name), prompts, group, tokens, beta, threads, steps,
    s_per_step {min, median, max}, cpu_s_per_step {min, median, max}, parts_median_s {name: seconds},
    peak_rss_mib (of the process, at its end), mean_reward
over the S steps after the first W. A step is all of: reading P images (PNG files) and processing them, the chat template with
one user turn (image, then question), generating G completions of exactly T tokens for each prompt at temperature 1 with no
added token and no unused embedding row ever sampled, the reward below, group advantages (r - mean) / (std + 1e-4) with the
unbiased std, one on-policy update of all parameters (token mean, clip by global norm 1, AdamW, lr 1e-6, no decay), logging.
Reward: 1 if the first run of a-z in the lower-cased text equals the answer, plus 0.1 / (1 + |characters - 12|).
ROWS is JSON lines {"question", "answer", "image": absolute path}; step k takes rows k*P to (k+1)*P.
"""
from __future__ import annotations

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile

import machine

HERE = pathlib.Path(__file__).resolve().parent
SHAPES = {"mini": ["--prompts", "8", "--group", "8", "--tokens", "16"], "small": ["--prompts", "2", "--group", "8", "--tokens", "64"]}
SIDES = {"trl": ["grpo_trl.py"], "plain-shared": ["grpo_plain.py", "--mode", "shared"], "plain-hf": ["grpo_plain.py", "--mode", "hf"]}


def rows_file(data: pathlib.Path, folder: pathlib.Path, count: int, seed: int = 0) -> pathlib.Path:
    """Unpacks the wheel if it is one, and writes `count` shuffled training questions."""
    folder.mkdir(parents=True, exist_ok=True)
    if data.is_file():
        with zipfile.ZipFile(data) as z:
            z.extractall(folder, [n for n in z.namelist() if n.startswith("easy_vqa/data/train/")])
        data = folder / "easy_vqa" / "data"
    rows = json.loads((data / "train" / "questions.json").read_text())
    random.Random(seed).shuffle(rows)
    image = lambda i: str((data / "train" / "images" / f"{i}.png").resolve())  # noqa: E731
    lines = [json.dumps({"question": q, "answer": answer, "image": image(i)}) for q, answer, i in rows[:count]]
    out = folder / "rows.jsonl"
    out.write_text("\n".join(lines) + "\n")
    return out


def run_side(command: list[str], threads: int, log: pathlib.Path) -> dict | None:
    done = subprocess.run(command, env=machine.environment(threads), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE)
    with log.open("a") as f:
        f.write(f"$ {' '.join(command)}\n{done.stderr}\n")
    lines = [x for x in done.stdout.splitlines() if x.startswith("{")]
    if done.returncode or not lines:
        print(f"{command[1]} failed with exit code {done.returncode}; see {log}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def measure(a) -> None:
    rows = rows_file(a.data, a.work, 8 * (a.steps + a.warmup))
    sides = {s: [sys.executable, *SIDES[s]] for s in a.sides} | ({"ours": [str(a.ours)]} if a.ours else {})
    for turn in range(a.rounds):
        for model in a.models:
            for threads in a.threads:
                for name, command in sides.items():
                    if a.wait:
                        machine.wait_until_quiet(a.wait)
                    more = ["--steps", str(a.steps), "--warmup", str(a.warmup), "--threads", str(threads), "--beta", str(a.beta)]
                    before = machine.busy_s()
                    got = run_side([*command, str(a.checkpoints / model), str(rows), *SHAPES[model], *more], threads, a.work / "log.txt")
                    if got:
                        got |= {"round": turn, "machine_cpu_s": round(machine.busy_s() - before, 1)}
                        with a.out.open("a") as f:
                            f.write(json.dumps(got) + "\n")
                        s = got["s_per_step"]
                        print(f"{model:5s} {threads}t {name:12s} {s['min']:.3f} / {s['median']:.3f} s  {got['peak_rss_mib']} MiB", flush=True)


def table(path: pathlib.Path) -> None:
    """A line a side: its better thread count by the smallest step time of all rounds; ratios are side / ours."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for key in sorted({(r["checkpoint"], r["beta"]) for r in records}):
        best: dict[str, dict] = {}
        for r in records:
            if (r["checkpoint"], r["beta"]) == key:
                kept = best.get(r["side"])
                if not kept or r["s_per_step"]["min"] < kept["s_per_step"]["min"]:
                    best[r["side"]] = r
        ours = best.get("ours")
        print(f"\n{key[0]}, beta {key[1]:g}\n\n| side | threads | s/step min / median | CPU s | MiB | ours is faster by (min / median) | ours' memory | parts |")
        print("|---|---|---|---|---|---|---|---|")
        for side, r in sorted(best.items(), key=lambda kv: -kv[1]["s_per_step"]["min"]):
            s, ratio, memory = r["s_per_step"], "", ""
            if ours and side != "ours":
                o = ours["s_per_step"]
                ratio = f"{s['min'] / o['min']:.2f}x / {s['median'] / o['median']:.2f}x"
                memory = f"{ours['peak_rss_mib'] / r['peak_rss_mib']:.2f}x"
            parts = ", ".join(f"{k} {v:.3f}" for k, v in r.get("parts_median_s", {}).items())
            print(f"| {side} | {r['threads']} | {s['min']:.3f} / {s['median']:.3f} | {r['cpu_s_per_step']['median']:.3f} "
                  f"| {r['peak_rss_mib']} | {ratio} | {memory} | {parts} |")


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda p: pathlib.Path(p).resolve()  # noqa: E731
    ap.add_argument("checkpoints", type=path, nargs="?")
    ap.add_argument("data", type=path, nargs="?")
    ap.add_argument("--table", type=path)
    ap.add_argument("--out", type=path, default=path("grpo_results.jsonl"))
    ap.add_argument("--work", type=path, default=path(tempfile.gettempdir()) / "foveate-peers", help="rows, unpacked images and logs go here")
    ap.add_argument("--ours", type=path)
    ap.add_argument("--sides", nargs="*", default=["trl", "plain-shared"], choices=list(SIDES))
    ap.add_argument("--models", nargs="*", default=list(SHAPES), choices=list(SHAPES))
    ap.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--warmup", type=int, default=2)
    ap.add_argument("--beta", type=float, default=0.0)
    ap.add_argument("--wait", type=float, default=0.0, help="seconds to wait at most for a quiet machine before each run")
    a = ap.parse_args()
    if a.table:
        return table(a.table)
    if not a.checkpoints or not a.data:
        ap.error("CHECKPOINTS and DATA are needed")
    measure(a)
    table(a.out)


if __name__ == "__main__":
    main()
