"""Degradation for evaluation: PIL bicubic on 8-bit pictures, bit for bit."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bench.errors import UserError


def degrade(hr: np.ndarray, scale: int) -> np.ndarray:
    """Shrink faces, uint8 [N, H, W, 3], by `scale`: uint8 [N, H/scale, W/scale, 3].

    Raises UserError when the size does not divide by the scale.
    """
    height, width = hr.shape[1:3]
    if height % scale or width % scale:
        raise UserError(f"faces of {width}x{height} pixels cannot be shrunk by {scale}: the size must divide")
    return _resize(hr, (width // scale, height // scale))


def upsample(lr: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge pictures, uint8 [N, h, w, 3], by `scale`: uint8 [N, h scale, w scale, 3]."""
    height, width = lr.shape[1:3]
    return _resize(lr, (width * scale, height * scale))


def _resize(pictures: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.empty((len(pictures), size[1], size[0], 3), np.uint8)
    for target, picture in zip(out, pictures, strict=True):
        target[...] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    return out
