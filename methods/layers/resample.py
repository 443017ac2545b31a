"""Bicubic up-sampling as face super-resolution pipelines do it: on 8-bit pictures, by PIL."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

_BITS = 22  # of the fraction of PIL's integer weights
_Taps = tuple[tuple[list[int], list[int]], ...]  # for each tap the input index and the weight of every output index


def upsample_8bit(lr: Tensor, scale: int) -> Tensor:
    """Enlarge [B, 3, h, w] in [0, 1] by `scale` to whole grey levels: PIL's bicubic to the last bit, on any device.

    The reference networks read pictures that PIL has enlarged and stored with 8 bits; rounding belongs to their input.
    As PIL does, rows are enlarged first, rounded and clipped to 0..255, then columns of what came out (Pillow,
    ImagingResample: Keys' kernel with a = -0.5, weights as integers times 2^22). Input off the grey levels is rounded.
    Computed in int32, in which no sum overflows; no gradient reaches `lr`.
    """
    levels = (lr.detach().float() * 255).round().clamp(0, 255).int()
    levels = _enlarge(_enlarge(levels, -1, scale), -2, scale)
    return levels.float() / 255


def _enlarge(levels: Tensor, axis: int, scale: int) -> Tensor:
    """Resample int32 grey levels along `axis`, which comes out `scale` times as long."""
    size = levels.shape[axis]
    shape = [1] * levels.dim()
    shape[axis] = size * scale
    total = torch.full([], 1 << (_BITS - 1), dtype=torch.int32, device=levels.device)  # one half, to round
    for index, weight in _taps(size, size * scale):
        chosen = levels.index_select(axis, torch.tensor(index, device=levels.device))
        total = total + chosen * torch.tensor(weight, dtype=torch.int32, device=levels.device).view(shape)
    return (total >> _BITS).clamp(0, 255)


@functools.lru_cache(maxsize=64)
def _taps(size: int, out: int) -> _Taps:
    """Return the taps of every output index along an axis that grows from `size` to `out`; missing ones weigh 0."""
    rows = []
    for i in range(out):
        centre = (i + 0.5) * size / out
        inside = range(max(int(centre - 1.5), 0), min(int(centre + 2.5), size))
        weights = [_keys(j - centre + 0.5) for j in inside]
        total = sum(weights)
        row = [(j, _to_integer(weight / total)) for j, weight in zip(inside, weights, strict=True)]
        rows.append(row + [(0, 0)] * (4 - len(row)))
    return tuple(([row[t][0] for row in rows], [row[t][1] for row in rows]) for t in range(4))


def _keys(x: float) -> float:
    """Return Keys' cubic convolution kernel at `x` pixels, a = -0.5."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _to_integer(weight: float) -> int:
    return math.floor(abs(weight) * (1 << _BITS) + 0.5) * (1 if weight >= 0 else -1)
