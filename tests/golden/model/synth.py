"""Test images by 32-bit integer arithmetic alone, so that a test in any language rebuilds them."""
from __future__ import annotations

import numpy as np


def synth_rgb(height: int, width: int, seed: int) -> np.ndarray:
    """uint8 [H, W, 3] for row y, column x, channel c (u32, wrapping; divisions of integers):

        ramp  = (x*255/max(W-1,1) * (c+1) + y*255/max(H-1,1) * (3-c)) / 4
        check = 96 if ((x >> 3) ^ (y >> 3) ^ c) & 1 else 0
        h     = x*374761393 + y*668265263 + c*2246822519 + seed*3266489917
        h ^= h >> 13; h *= 1274126177; h ^= h >> 16
        value = (ramp + check + (h >> 24 if h & 7 == 0 else 0)) & 255
    """
    u = np.uint32
    y, x, c = np.meshgrid(*(np.arange(n, dtype=u) for n in (height, width, 3)), indexing="ij")
    ramp = (x * u(255) // u(max(width - 1, 1)) * (c + u(1)) + y * u(255) // u(max(height - 1, 1)) * (u(3) - c)) // u(4)
    check = np.where(((x >> u(3)) ^ (y >> u(3)) ^ c) & u(1), u(96), u(0))
    with np.errstate(over="ignore"):
        h = x * u(374761393) + y * u(668265263) + c * u(2246822519) + u((seed * 3266489917) & 0xFFFFFFFF)
        h ^= h >> u(13)
        h *= u(1274126177)
        h ^= h >> u(16)
    return ((ramp + check + np.where((h & u(7)) == 0, h >> u(24), u(0))) & u(255)).astype(np.uint8)
