"""What scipy, statsmodels and numpy say to the numbers in golden.json.

    python make.py          (writes golden.json beside itself; takes some seconds)

The curves of image quality papers are fitted with scipy's curve_fit from the same start as ours.
"""
import json
import math
import pathlib
import sys

import numpy as np
import scipy
import statsmodels
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(11)
out = {"versions": {"python": sys.version.split()[0]} | {m.__name__: m.__version__ for m in (np, scipy, statsmodels)}}

out["wilson"] = [
    [int(k), int(n), level, *map(float, proportion_confint(k, n, 1 - level, "wilson"))]
    for k, n, level in [(0, 1, 0.95), (1, 1, 0.95), (5, 10, 0.9), (134, 191, 0.95), (0, 191, 0.99), (191, 191, 0.95), (11234, 23609, 0.95)]
]
out["mcnemar"] = [
    [b, c, float(mcnemar([[50, b], [c, 30]], exact=True).pvalue)]
    for b, c in [(0, 0), (1, 0), (0, 5), (3, 9), (12, 12), (20, 41), (150, 101), (900, 1013)]
]
out["holm"] = []
for p in ([0.01, 0.04, 0.03, 0.005], [0.2], [0.5, 0.5, 0.001, 1.0, 0.02], rng.uniform(0, 0.1, 20).tolist()):
    out["holm"].append([p, multipletests(p, method="holm")[1].tolist()])


def four(x, b1, b2, b3, b4):
    return (b1 - b2) / (1 + np.exp(-(x - b3) / np.abs(b4))) + b2


def five(x, b1, b2, b3, b4, b5):
    return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5


out["correlation"] = []
for n, ties in ((3, False), (12, True), (200, False), (200, True)):
    x = rng.uniform(1, 5, n)
    y = 1 + 4 / (1 + np.exp(-2 * (x - 3))) + rng.normal(0, 0.35, n)
    if ties:
        x, y = np.round(x * 2) / 2, np.round(y)
    case = {
        "x": x.tolist(),
        "y": y.tolist(),
        "pearson": float(stats.pearsonr(x, y)[0]),
        "spearman": float(stats.spearmanr(x, y)[0]),
        "kendall": float(stats.kendalltau(x, y)[0]),
        "rmse": float(np.sqrt(np.mean((x - y) ** 2))),
        "ranks": stats.rankdata(x).tolist(),
    }
    if n >= 200:
        for name, curve, start in (
            ("four", four, [y.max(), y.min(), x.mean(), x.std() / 4]),
            ("five", five, [10, 0, y.mean(), 0.1, 0.1]),
        ):
            b, _ = optimize.curve_fit(curve, x, y, p0=start, maxfev=100000, ftol=1e-14, xtol=1e-14, gtol=1e-14)
            fitted = curve(x, *b)
            case[name] = {
                "b": b.tolist(),
                "cost": float(np.sum((fitted - y) ** 2)),
                "pearson": float(stats.pearsonr(fitted, y)[0]),
                "rmse": float(np.sqrt(np.mean((fitted - y) ** 2))),
            }
    out["correlation"].append(case)

# Percentile bootstrap of a mean and of a ratio of means over clusters.
sizes = rng.integers(1, 5, 80)
hit = rng.uniform(size=80)
clusters = [(rng.uniform(size=s) < h).astype(int).tolist() for s, h in zip(sizes, hit)]
base = [(rng.uniform(size=s) < min(1, h + 0.2)).astype(int).tolist() for s, h in zip(sizes, hit)]
sums = np.array([[sum(c), sum(b), len(c)] for c, b in zip(clusters, base)], float)


def mean_of(index):
    s = sums[index].sum(0)
    return s[0] / s[2]


def ratio_of(index):
    s = sums[index].sum(0)
    return s[0] / s[1]


out["bootstrap"] = {"clusters": clusters, "base": base}
for name, statistic in (("mean", mean_of), ("ratio", ratio_of)):
    ends = []
    for seed in range(8):
        got = stats.bootstrap((np.arange(80),), statistic, method="percentile", n_resamples=4000, vectorized=False, rng=np.random.default_rng(seed))
        ends.append([float(got.confidence_interval.low), float(got.confidence_interval.high)])
    ends = np.array(ends)
    out["bootstrap"][name] = {"interval": ends.mean(0).tolist(), "spread": ends.std(0, ddof=1).tolist()}

pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(out))
