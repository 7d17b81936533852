"""What the GRPO peers share: arguments, the rows, the reward, what is never sampled, the record they print."""
from __future__ import annotations

import json
import pathlib
import re
import resource
import statistics
import time

WORD = re.compile(r"[a-z]+")


def add_arguments(ap) -> None:
    ap.add_argument("checkpoint", type=pathlib.Path)
    ap.add_argument("data", type=pathlib.Path, help="rows.jsonl of grpo_step.py: question, answer, image")
    ap.add_argument("--prompts", type=int, default=8, help="prompts of a step")
    ap.add_argument("--group", type=int, default=8, help="completions of a prompt")
    ap.add_argument("--tokens", type=int, default=16, help="tokens of a completion; all run to this length")
    ap.add_argument("--beta", type=float, default=0.0, help="weight of the k3 KL with a frozen copy")
    ap.add_argument("--lr", type=float, default=1e-6)
    ap.add_argument("--steps", type=int, default=8)
    ap.add_argument("--warmup", type=int, default=2, help="steps before those that count")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--seed", type=int, default=0)


def rows_of(a) -> list[dict]:
    """The first (warmup + steps) * prompts rows, in file order."""
    rows = [json.loads(line) for line in a.data.read_text().splitlines()]
    need = (a.warmup + a.steps) * a.prompts
    if len(rows) < need:
        raise SystemExit(f"{a.data}: {len(rows)} rows, {need} needed")
    return rows[:need]


def reward(text: str, answer: str) -> float:
    """1 if the first run of a-z is the answer, plus up to 0.1 for a length near 12 characters, so that the groups of an
    untrained model differ. It measures cost, not learning."""
    first = WORD.search(text.lower())
    return float(bool(first) and first.group() == answer) + 0.1 / (1 + abs(len(text) - 12))


def forbidden_ids(tokenizer, config) -> list[int]:
    """Added tokens (end of turn, image pads ...) and embedding rows that no token has: never sampled, so that every
    completion has the full length."""
    text = getattr(config, "text_config", config)
    return list(range(min(tokenizer.added_tokens_decoder), text.vocab_size))


def sgemm_gflops() -> int:
    """What the cores gave at this moment, by torch's own matmul."""
    import torch
    x, y = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best = 1e9
    for _ in range(20):
        t = time.perf_counter()
        x @ y
        best = min(best, time.perf_counter() - t)
    return round(2 * 1024**3 / best / 1e9)


def record(a, side: str, clock, parts: dict[str, list[float]], **more) -> dict:
    """One side's figures; the first `a.warmup` steps are left out everywhere."""
    from machine import spread
    wall, completions = clock.wall[a.warmup:], a.prompts * a.group
    return {
        "side": side, "checkpoint": a.checkpoint.name, "prompts": a.prompts, "group": a.group, "tokens": a.tokens, "beta": a.beta,
        "threads": a.threads, "steps": len(wall), "s_per_step": spread(wall), "cpu_s_per_step": spread(clock.cpu[a.warmup:]),
        "completions_per_s": round(completions / statistics.median(wall), 2),
        "parts_median_s": {k: round(statistics.median(v[a.warmup:]), 4) for k, v in parts.items()},
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cores_used_by_others": round(sum(clock.others[a.warmup:]) / sum(wall), 2), "sgemm_gflops": sgemm_gflops(), **more}
