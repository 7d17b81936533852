"""Makes the goldens of the variants that are ImageNet-C's own, with its code on the 224x224 pictures it is written for.

    python tests/golden/augment/make_hendrycks.py CORRUPTIONS_PY

CORRUPTIONS_PY is ImageNet-C/imagenet_c/imagenet_c/corruptions.py of github.com/hendrycks/robustness (Apache-2.0); what was
used stands in hendrycks.json by its SHA-256. ImageMagick, which none of the four needs, is left out.

image-224.png         the input
exact-hendrycks.png   zoom_blur, then pixelate: a row for each level, every 49th pixel in raster order
hendrycks.json        fog and elastic_transform as in random.json (make.py); also the versions
"""
from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pathlib
import platform
import sys
import types

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import make  # noqa: E402  (also gives today's packages the old names that the code asks for)

DRAWS = 50


def original(path: pathlib.Path):
    """The published module, without what it needs of ImageMagick."""
    for name in ["wand", "wand.image", "wand.api", "wand.color"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["wand.image"].Image = object
    sys.modules["wand.api"].library = types.SimpleNamespace(MagickMotionBlurImage=types.SimpleNamespace())
    sys.modules["wand"].color = sys.modules["wand.color"]
    module = types.ModuleType("imagenet_c_corruptions")
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


def picture() -> np.ndarray:
    y, x = np.mgrid[:224, :224]
    wave = 50 * np.sin(x / 9 + y / 31)[..., None] * np.array([1, 0.6, -0.8])
    base = 110 + wave + np.stack([x * 0.3, y * 0.2, (x - y) * 0.2], 2)
    base[40:90, 60:140] = (220, 40, 30)
    base[120:200, 20:70] = (20, 60, 200)
    base[150:180, 120:215] += 70
    return np.clip(base, 0, 255).astype(np.uint8)


def main() -> None:
    path = pathlib.Path(sys.argv[1])
    theirs, clean = original(path), picture()
    image = Image.fromarray(clean)
    image.save(HERE / "image-224.png", optimize=True)
    rows = [np.uint8(getattr(theirs, name)(image, level)).reshape(-1, 3)[::49]
            for name in ["zoom_blur", "pixelate"] for level in range(1, 6)]
    Image.fromarray(np.stack(rows)).save(HERE / "exact-hendrycks.png", optimize=True)
    table = {}
    for name in ["fog", "elastic_transform"]:
        for level in range(1, 6):
            np.random.seed(1000 * level + len(name))
            draws = [make.measures(np.uint8(getattr(theirs, name)(image, level)), clean) for _ in range(DRAWS)]
            mean, sd = np.mean(draws, 0), np.std(draws, 0, ddof=1)
            numbers = {"mean": [float(f"{v:.6g}") for v in mean], "sd": [float(f"{v:.4g}") for v in sd]}
            table[f"{name}_hendrycks {level}"] = numbers
    packages = ["numpy", "scipy", "scikit-image", "opencv-python-headless", "pillow"]
    versions = {p: importlib.metadata.version(p) for p in packages} | {"python": platform.python_version()}
    source = hashlib.sha256(path.read_bytes()).hexdigest()
    text = json.dumps({"source": source, "versions": versions, "draws": DRAWS, "table": table}, indent=0)
    (HERE / "hendrycks.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
