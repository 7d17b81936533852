"""imagecorruptions 1.1.2 as its current git version behaves, on today's numpy, scipy and scikit-image.

The wheel asks for pkg_resources, np.float_ and scipy.ndimage.interpolation, which are gone, and passes
`multichannel` to skimage; git has replaced the latter by `channel_axis` and compiled the loop of the glass blur with
numba. Both are done here, and every draw is put under numpy's global seed (git's impulse noise is not).
"""
from __future__ import annotations

import importlib.util
import pathlib
import sys
import types
import warnings

import numpy as np
import scipy.ndimage
from numba import njit

warnings.filterwarnings("ignore")


def _folder(package: str) -> pathlib.Path:
    return pathlib.Path(importlib.util.find_spec(package.split(".")[0]).submodule_search_locations[0])


if "pkg_resources" not in sys.modules:
    _shim = types.ModuleType("pkg_resources")
    _shim.resource_filename = lambda package, name: str(_folder(package) / name)
    sys.modules["pkg_resources"] = _shim
if not hasattr(np, "float_"):
    np.float_ = np.float64
if not hasattr(scipy.ndimage, "interpolation"):
    _old = types.ModuleType("scipy.ndimage.interpolation")
    _old.map_coordinates = scipy.ndimage.map_coordinates
    sys.modules["scipy.ndimage.interpolation"] = _old

import imagecorruptions.corruptions as corruptions  # noqa: E402
import imagecorruptions  # noqa: E402

_gaussian = corruptions.gaussian


def _with_channel_axis(image, *args, multichannel=None, **kwargs):
    return _gaussian(image, *args, channel_axis=-1 if multichannel else None, **kwargs)


@njit
def _shuffle(x, delta, sweeps):
    for _ in range(sweeps):
        for h in range(x.shape[0] - delta, delta, -1):
            for w in range(x.shape[1] - delta, delta, -1):
                dx, dy = np.random.randint(-delta, delta), np.random.randint(-delta, delta)
                # What numpy's tuple "swap" of two pixels of a colour image does: a copy one way.
                x[h, w] = x[h + dy, w + dx]


@njit
def _seed_numba(seed):
    np.random.seed(seed)


def _glass_blur(x, severity=1):
    sigma, delta, sweeps = [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)][severity - 1]
    x = np.uint8(_gaussian(np.array(x) / 255., sigma=sigma, channel_axis=-1) * 255)
    _shuffle(x, delta, sweeps)
    return np.clip(_gaussian(x / 255., sigma=sigma, channel_axis=-1), 0, 1) * 255


def _impulse_noise(x, severity=1):
    amount = [.03, .06, .09, 0.17, 0.27][severity - 1]
    rng = np.random.default_rng(np.random.randint(1 << 31))
    return np.clip(corruptions.sk.util.random_noise(np.array(x) / 255., mode="s&p", amount=amount, rng=rng), 0, 1) * 255


corruptions.gaussian = _with_channel_axis
for _name, _function in [("glass_blur", _glass_blur), ("impulse_noise", _impulse_noise)]:
    imagecorruptions.corruption_dict[_name] = _function

names = imagecorruptions.get_corruption_names


def corrupt(image: np.ndarray, name: str, level: int) -> np.ndarray:
    return imagecorruptions.corrupt(image, corruption_name=name, severity=level)


def seed(value: int) -> None:
    np.random.seed(value)
    _seed_numba(value)
