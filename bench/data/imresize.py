"""MATLAB's `imresize` (bicubic, antialiased) on 8-bit pictures, in NumPy.

What MATLAB documents, and what its printed results show where the manual is silent (tests/bench/data/test_imresize.py):

- Pixel i of the result, counted from 0, has its centre at (i + 0.5) / factor - 0.5 of the picture.
- Its weights are Keys' cubic with a = -0.5, made wider by 1 / factor when shrinking, and then made to add up to 1.
- Beyond the border the picture is mirrored, the edge pixels themselves included.
- The axis with the smaller factor comes first, the rows when both are alike.
- Eight-bit pictures are rounded, halves up, after each of the two passes, not only at the end. A picture that is
  turned into `double` first is rounded once, which moves it by a grey level at most where nothing is clipped.
"""

from __future__ import annotations

import functools
import math

import numpy as np

_HALF = 0.5 + 1e-9  # a half that arithmetic made a hair smaller still rounds up, on every machine


def imresize(pictures: np.ndarray, size: tuple[int, int], factors: tuple[float, float] | None = None) -> np.ndarray:
    """Resize pictures, uint8 [N, H, W, C], as MATLAB's `imresize(picture, size)` does: uint8 [N, h, w, C].

    `size` is (h, w). `factors` of rows and columns are h / H and w / W where none are given; `imresize(picture,
    factor)` has that factor in both, h = ceil(factor H) and w = ceil(factor W). For factors 1/2, 1/4, 1/8, ... every
    product and every sum is exact in float64.
    """
    lengths = (pictures.shape[1], pictures.shape[2])
    factors = factors or (size[0] / lengths[0], size[1] / lengths[1])
    weights = [resize_weights(lengths[axis], size[axis], factors[axis]) for axis in (0, 1)]
    out = np.empty((len(pictures), *size, pictures.shape[3]), np.uint8)
    for place, picture in zip(out, pictures, strict=True):
        for axis in sorted((0, 1), key=lambda axis: factors[axis]):
            picture = _pass(picture, weights[axis], axis)
        place[...] = picture
    return out


def _pass(picture: np.ndarray, weights: np.ndarray, axis: int) -> np.ndarray:
    """Resize one axis of uint8 [H, W, C] by weights [out, in]: uint8."""
    values = np.moveaxis(np.tensordot(weights, picture.astype(np.float64), (1, axis)), 0, axis)
    return np.floor(values + _HALF).clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=32)
def resize_weights(length: int, out: int, factor: float) -> np.ndarray:
    """Return float64 [out, length]: row i weighs the pixels of the picture for pixel i of the result."""
    stretch = min(factor, 1.0)
    centre = ((np.arange(out) + 0.5) / factor - 0.5)[:, None]
    reach = 2 / stretch
    taps = np.floor(centre - reach).astype(int) + np.arange(math.ceil(2 * reach) + 2)
    weight = _keys(stretch * (centre - taps))
    weight /= weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((out, length))
    np.add.at(matrix, (np.arange(out)[:, None], _mirror(taps, length)), weight)
    matrix.flags.writeable = False
    return matrix


def _mirror(place: np.ndarray, length: int) -> np.ndarray:
    """Return the pixel found at each place of a picture that is mirrored at its border, edge pixels doubled."""
    place = place % (2 * length)
    return np.asarray(np.minimum(place, 2 * length - 1 - place))


def _keys(distance: np.ndarray) -> np.ndarray:
    """Return Keys' cubic kernel for a = -0.5 (Keys 1981, equation 15)."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
