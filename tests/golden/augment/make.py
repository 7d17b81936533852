"""Makes the goldens of the corruptions with imagecorruptions 1.1.2 (see benches/peers/imagecorruptions_peer.py).

    python tests/golden/augment/make.py

image-*.png     the inputs (seven sizes; one grey)
exact-*.png     deterministic corruptions: for each image the five levels, every seventh pixel in raster order, in one row
                of pixels a level; images in one file below each other
random.json     the others: over 50 draws, mean and standard deviation of channel means, variance, PSNR and of the
                spectrum of the damage in six bands; also the versions
"""
from __future__ import annotations

import importlib.metadata
import json
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent.parent / "benches" / "peers"))
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import imagecorruptions_peer as peer  # noqa: E402

SIZES = [(96, 128), (33, 47), (32, 32), (300, 40), (33, 500), (75, 61)]  # height, width
EXACT = ["defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression", "gaussian_blur", "saturate"]
RANDOM = [n for n in peer.names("all") if n not in EXACT]
DRAWS = 50


def picture(h: int, w: int, seed: int) -> np.ndarray:
    """Noise with the spectrum of photographs, blocks with hard edges and a saturated corner."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(h)[:, None, None], np.fft.fftfreq(w)[None, :, None]
    noise = np.fft.fft2(rng.normal(size=(h, w, 3)), axes=(0, 1)) / (np.hypot(fy, fx) + 0.01)
    x = np.real(np.fft.ifft2(noise, axes=(0, 1)))
    x = 120 + 45 * (0.7 * x + 0.5 * x.mean(2, keepdims=True)) / x.std()
    for _ in range(6):
        t, l = rng.integers(0, h), rng.integers(0, w)
        x[t:t + h // 5 + 1, l:l + w // 6 + 1] = rng.integers(0, 256, 3)
    x[: h // 8, : w // 8] = 255
    x[-(h // 8):, -(w // 8):] = 0
    return np.clip(x, 0, 255).astype(np.uint8)


def bands(image: np.ndarray, clean: np.ndarray) -> list[float]:
    """Mean power of the damage's grey value in six rings of its 64x64 spectrum."""
    d = (image[:64, :64].astype(float) - clean[:64, :64]).mean(2)
    power = np.abs(np.fft.fft2(d)) ** 2
    f = np.fft.fftfreq(64)
    r = np.hypot(f[:, None], f[None])
    edges = [0.01, 0.04, 0.08, 0.15, 0.25, 0.35, 0.5]
    return [float(power[(r >= a) & (r < b)].mean()) for a, b in zip(edges, edges[1:])]


def measures(image: np.ndarray, clean: np.ndarray) -> list[float]:
    mse = ((image.astype(float) - clean) ** 2).mean()
    return [*image.mean((0, 1)), *image.astype(float).var((0, 1)), 10 * np.log10(255 ** 2 / mse), *bands(image, clean)]


def main() -> None:
    images = [picture(h, w, i) for i, (h, w) in enumerate(SIZES)]
    grey = picture(45, 61, 9).mean(2).astype(np.uint8)
    for i, image in enumerate([*images, grey]):
        Image.fromarray(image).save(HERE / f"image-{i}.png", optimize=True)
    for name in EXACT:
        rows = []
        for image in [*images, grey]:
            for level in range(1, 6):
                rows.append(peer.corrupt(image, name, level).reshape(-1, 3)[::7])
        Image.fromarray(np.concatenate(rows)[None]).save(HERE / f"exact-{name}.png", optimize=True)
    table = {}
    for name in RANDOM:
        for level in range(1, 6):
            peer.seed(1000 * level + len(name))
            m = np.array([measures(peer.corrupt(images[0], name, level), images[0]) for _ in range(DRAWS)])
            table[f"{name} {level}"] = {"mean": [float(f"{v:.6g}") for v in m.mean(0)], "sd": [float(f"{v:.4g}") for v in m.std(0, ddof=1)]}
        print(name, flush=True)
    packages = ["imagecorruptions", "numpy", "scipy", "scikit-image", "opencv-python-headless", "pillow", "numba"]
    versions = {p: importlib.metadata.version(p) for p in packages} | {"python": platform.python_version()}
    text = json.dumps({"versions": versions, "draws": DRAWS, "table": table}, indent=0)
    (HERE / "random.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
