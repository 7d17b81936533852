"""Q-Hawkeye worked by hand: replies to rewards to credits to losses and their gradients, in plain Python.

    make.py            (writes cases.json beside itself; Python 3.10 or later, nothing else)

It follows arXiv:2601.22920 and its authors' code (AMAP-ML/Q-Hawkeye at 905262f), one step a line, and shares nothing
with what it checks: sums are Python's fsum, no tensor, no automatic differentiation. Each gradient is the formula that
its comment derives.

Three groups of four replies. The first has four scores, one beyond the scale. The second has one score that can be
read: its uncertainty is 0, so it counts in full. In the third the two parsers differ: "-3" is no score for the reward
and is 1 (its nearest on the scale) for the uncertainty.
"""
from __future__ import annotations

import json
import math
import pathlib
import re

TAU, ALPHA, BETA, GAMMA, ETA = 0.30, 0.2, 0.04, 1e-4, 1e-3
THINK = "<think>look</think>"
GROUPS = [
    ("3.00", [THINK + "<answer>3.30</answer>", THINK + "\n<answer>3.00</answer>", THINK + "<answer>7.5</answer>",
              "<answer>2.4</answer>"]),
    ("4.2", [THINK + "<answer>4.20</answer>", THINK + "<answer>high</answer>", THINK + "<answer>4/5</answer>",
             THINK + "<answer></answer>"]),
    ("1.5", [THINK + "<answer>-3</answer>", THINK + "<answer>5.00</answer>", THINK + "<answer>2 2 2 2 2 2</answer>",
             THINK + "<answer>aaaaaab</answer>"]),
]


def clip(x: float) -> float:
    return min(max(x, 1.0), 5.0)


# --- rewards --------------------------------------------------------------------------------------------------------
def zone(reply: str) -> str:
    """What stands between the answer tags."""
    return re.search(r"<answer>(.*?)</answer>", reply, re.DOTALL).group(1)


def score(reply: str, truth: float) -> float:
    """exp(-|s - truth| / tau), both on the scale; digits and dots only, else 0."""
    said = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*", zone(reply))
    return math.exp(-abs(clip(float(said.group(1))) - clip(truth)) / TAU) if said else 0.0


def form(reply: str) -> float:
    """The whole reply is a think block, then an answer block with a number in it. Weighs 0.8."""
    return float(bool(re.fullmatch(r"\s*<think>.*?</think>\s*<answer>\s*[\d.]+\s*</answer>\s*", reply, re.DOTALL)))


def repetition(reply: str) -> float:
    """A quarter off for each occurrence of a word, or of a character, that occurs more than five times; 2 at most."""
    text = re.sub(r"[^\w\s]", "", zone(reply))
    words, letters = text.split(), [c for c in text if not c.isspace()]
    over = lambda items: sum(items.count(item) for item in set(items) if items.count(item) > 5)  # noqa: E731
    return max(-0.25 * (over(words) + over(letters)), -2.0)


# --- credits --------------------------------------------------------------------------------------------------------
def uncertainty(replies: list[str]) -> float:
    """Population variance of the scores that can be read, a sign allowed, over the largest on the scale, 0.25 * 4^2."""
    read = [re.fullmatch(r"\s*([+-]?(\d+\.?\d*|\.\d+))\s*", zone(reply)) for reply in replies]
    scores = [clip(float(found.group(1))) for found in read if found]
    if len(scores) < 2:
        return 0.0
    mean = math.fsum(scores) / len(scores)
    return min(max(math.fsum((s - mean) ** 2 for s in scores) / len(scores) / 4.0, 0.0), 1.0)


def credits(rewards: list[float], u: float) -> list[float]:
    """z-scores with the unbiased deviation and epsilon 1e-4, then times exp(-alpha u)."""
    n, mean = len(rewards), math.fsum(rewards) / len(rewards)
    std = math.sqrt(math.fsum((r - mean) ** 2 for r in rewards) / (n - 1))
    return [(r - mean) / (std + 1e-4) * math.exp(-ALPHA * u) for r in rewards]


# --- tokens ---------------------------------------------------------------------------------------------------------
def tokens() -> list[list[tuple[float, float, float]]]:
    """Of each reply two to four tokens: log-probabilities of the policy, of the reference, of the degraded picture."""
    replies = []
    for i in range(12):
        row = []
        for t in range(2 + i % 3):
            lp = -0.2 - 0.3 * ((5 * i + 3 * t) % 7)
            row.append((lp, lp + 0.1 * ((2 * i + t) % 5 - 2), lp - 0.15 * ((i + 4 * t) % 6 - 2)))
        replies.append(row)
    # Where the bounds show: the degraded picture's token is e^2.7 times likelier (its k3 is over 10), or e^-11.5 times
    # (over 10 as well); the reference is e^2.8 times likelier (TRL does not bound it).
    (lp, ref, _), (lp2, ref2, _), (lp3, _, deg3) = replies[4][1], replies[7][0], replies[9][1]
    replies[4][1], replies[7][0], replies[9][1] = (lp, ref, lp + 2.7), (lp2, ref2, lp2 - 11.5), (lp3, lp3 + 2.8, deg3)
    return replies


def k3(lp: float, other: float, bounded: bool) -> tuple[float, float]:
    """e^r - r - 1 with r = other - lp, and its slope in lp, 1 - e^r. Bounded (verl): r to 20, the value to 10; a value
    that is bounded has no slope."""
    r = other - lp
    if bounded:
        r = min(max(r, -20.0), 20.0)
    value, slope = math.exp(r) - r - 1.0, 1.0 - math.exp(r)
    return (10.0, 0.0) if bounded and value > 10.0 else (value, slope)


# --- losses ---------------------------------------------------------------------------------------------------------
def losses(credit: list[float], replies: list, gamma: float, eta: float) -> dict:
    """The parts of the loss and the gradient in each token's log-probability.

    policy      mean over replies of the mean over tokens of -rho A; rho = exp(lp - const) is 1, its slope in lp is 1
    reference   the same mean of beta * k3(lp, reference), not bounded
    perception  -gamma * mean over ALL tokens of k3(lp, degraded), bounded, the degraded one a constant
    entropies   eta * mean over replies of the SUM over tokens of -lp, and of -lp_degraded, which has no slope here
    """
    s, n = len(replies), sum(map(len, replies))
    parts = {"policy": [], "reference": [], "perception": [], "entropy": [], "degraded_entropy": []}
    gradient = []
    for a, row in zip(credit, replies):
        for lp, ref, deg in row:
            share = 1.0 / (s * len(row))
            near, near_slope = k3(lp, ref, bounded=False)
            far, far_slope = k3(lp, deg, bounded=True)
            parts["policy"].append(-a * share)
            parts["reference"].append(BETA * near * share)
            parts["perception"].append(-gamma * far / n)
            parts["entropy"].append(eta * -lp / s)
            parts["degraded_entropy"].append(eta * -deg / s)
            gradient.append(-a * share + BETA * near_slope * share - gamma * far_slope / n - eta / s)
    out = {name: math.fsum(values) for name, values in parts.items()}
    return out | {"total": math.fsum(out.values()), "gradient": gradient}


def gamma_at(epoch: float) -> float:
    """Half a cosine to 0 at epoch 5, and 0 from there."""
    return GAMMA * 0.5 * (1.0 + math.cos(math.pi * epoch / 5.0)) if epoch < 5 else 0.0


def main() -> None:
    groups, credit = [], []
    for truth, replies in GROUPS:
        parts = [{"score": score(r, float(truth)), "format": form(r), "repetition": repetition(r)} for r in replies]
        rewards = [p["score"] + 0.8 * p["format"] + p["repetition"] for p in parts]
        u = uncertainty(replies)
        groups.append({"truth": truth, "replies": replies, "parts": parts, "rewards": rewards, "u": u,
                       "weight": math.exp(-ALPHA * u), "credits": credits(rewards, u)})
        credit += groups[-1]["credits"]
    rows = tokens()
    cases = [{"epoch": epoch, "eta": eta, "gamma": gamma_at(epoch)} | losses(credit, rows, gamma_at(epoch), eta)
             for epoch, eta in [(0.0, 0.0), (1.0, 0.0), (2.5, ETA), (5.0, 0.0), (9.0, ETA)]]
    out = {"groups": groups, "tokens": rows, "cases": cases}
    (pathlib.Path(__file__).resolve().parent / "cases.json").write_text(json.dumps(out, indent=0) + "\n")


if __name__ == "__main__":
    main()
