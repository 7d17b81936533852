"""Mean corruption errors of a made-up model against a stored baseline, by the formulas of ImageNet-C's paper.

    python make_errors.py      (pandas; writes errors.json beside itself)

Hendrycks and Dietterich 2019 (arXiv:1903.12261), section 4.2, with the baseline in AlexNet's place:
    CE_c          = sum_s E_{s,c} / sum_s E^base_{s,c}
    relative CE_c = sum_s (E_{s,c} - E_clean) / sum_s (E^base_{s,c} - E^base_clean)
    mCE, relative mCE: their means over corruptions.
One letter an answer: r right, w wrong, u unreadable (an error), f a failed call (no answer: in no share). Made with pandas
3.1.1 and numpy 2.4.6; the numbers are pandas' own groupings of the letters, not of anything that foveate wrote.
"""
import json
import pathlib

import numpy as np
import pandas as pd

rng = np.random.default_rng(11)
CELLS = [("", 0)] + [(name, level) for name in ("fog", "motion_blur", "jpeg_compression", "contrast") for level in (1, 3, 5)]
SKILL = {"base": 0.6, "model": 0.8}


def answers(skill, level):
    right = max(skill - 0.09 * level, 0.05)
    rest = 1 - right
    return "".join(rng.choice(list("rwuf"), size=90, p=[right * 0.97, rest * 0.85 * 0.97, rest * 0.15 * 0.97, 0.03]))


letters = {who: {f"{name}-{level}": answers(skill, level) for name, level in CELLS} for who, skill in SKILL.items()}
rows = [
    {"who": who, "corruption": cell.rsplit("-", 1)[0], "severity": int(cell.rsplit("-", 1)[1]), "letter": letter}
    for who, cells in letters.items()
    for cell, text in cells.items()
    for letter in text
]
frame = pd.DataFrame(rows)
came = frame[frame.letter != "f"].assign(error=lambda f: (f.letter != "r").astype(float))
error = came.groupby(["who", "corruption", "severity"]).error.mean()
clean = error.xs("", level="corruption").droplevel("severity")
dirty = error.drop("", level="corruption")
sums = dirty.groupby(["who", "corruption"]).sum()
beyond = dirty.sub(dirty.index.get_level_values("who").map(clean)).groupby(["who", "corruption"]).sum()
ce = sums["model"] / sums["base"]
relative = beyond["model"] / beyond["base"]
want = {"ce": ce.to_dict(), "mce": ce.mean(), "relative_ce": relative.to_dict(), "relative_mce": relative.mean()}
versions = {"pandas": pd.__version__, "numpy": np.__version__}
path = pathlib.Path(__file__).resolve().parent / "errors.json"
path.write_text(json.dumps({"letters": letters, "want": want, "versions": versions}, indent=1) + "\n")
print(want)
