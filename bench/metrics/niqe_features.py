"""NIQE's features: 36 numbers a block, parameters of Gaussians fitted to the locally normalised luma.

They are asymmetric and generalised, fitted to the luma and to its products with four shifted copies, at full and half
size.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from bench.core.errors import UserError
from bench.data.imresize import resize_weights
from bench.metrics.block_sums import block_sums, cut_blocks
from bench.metrics.blur import blur
from bench.metrics.parts import in_parts

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = 36
_LUMA = (299, 587, 114)  # thousandths
_AT_ONCE = 8 * 128 * 128  # pixels, whose float64 copies stay in a core's cache
_REACH = 3  # pixels from the middle of the blur to its edge
_SHAPES = (0.2, 10.0, 0.001)  # from, to, step of the shape parameters that are tried
_FLAT = 1e-9  # levels: what arithmetic leaves of nothing must not count as a positive or negative value
_SHARP = 0.75  # pristine blocks are those sharper than this part of the sharpest


def describe(pictures: np.ndarray, block: int, stride: int) -> np.ndarray:
    """Return the features of all blocks of uint8 [B, H, W, 3]: float64 [B, blocks * 36], NaN for flat blocks.

    Raises UserError when a picture is smaller than a block.
    """
    count = max(1, _AT_ONCE // (pictures.shape[1] * pictures.shape[2]))
    return in_parts(lambda part: _describe(part, block, stride), (pictures,), count).numpy()


def _describe(pictures: np.ndarray, block: int, stride: int) -> Tensor:
    import torch

    luma = _luma(_crop(pictures, block, stride))
    full = _features(_normalise(luma)[0], block, stride)
    half = _features(_normalise(_halve(luma))[0], block // 2, stride // 2)
    return torch.cat([full, half], -1).flatten(1)


def _luma(pictures: np.ndarray) -> Tensor:
    """Return full-range luma, rounded with ties upward: float64 [B, H, W] in [0, 255]."""
    import torch

    thousandths = pictures.astype(np.float32) @ np.array(_LUMA, np.float32)  # whole numbers, exact in float32
    return torch.from_numpy(thousandths.astype(np.float64)).add_(500).div_(1000).floor_()


def _crop(pictures: np.ndarray, block: int, stride: int) -> np.ndarray:
    """Cut off what no block covers, right and at the bottom of [B, H, W, 3]."""
    height, width = pictures.shape[1:3]
    if min(height, width) < block:
        raise UserError(f"NIQE with blocks of {block}x{block} needs larger pictures than {width}x{height}")
    rows, columns = ((side - block) // stride * stride + block for side in (height, width))
    return pictures[:, :rows, :columns]


def _normalise(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma less its local mean, over its local deviation + 1, and that deviation.

    Local is a Gaussian window of 7x7 pixels and sigma 7/6; beyond the border the picture's last pixels go on.
    """
    import torch.nn.functional as F

    wide = F.pad(luma, (_REACH,) * 4, mode="replicate")
    mean = blur(wide, _window())
    deviation = blur(wide.square(), _window()).sub_(mean.square()).abs_().sqrt_()
    off = luma - mean
    off = off.masked_fill(off.abs() < _FLAT, 0)
    return off / (deviation + 1), deviation


@functools.cache
def _window() -> tuple[float, ...]:
    """Return the weights of the blur along one direction."""
    weights = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / (7 / 6)) ** 2)
    return tuple((weights / weights.sum()).tolist())


def _halve(luma: Tensor) -> Tensor:
    """Shrink [B, H, W] to half by bicubic interpolation with antialiasing, unrounded, as MATLAB does."""
    import torch

    rows, columns = (torch.from_numpy(resize_weights(side, side // 2, 0.5).copy()) for side in luma.shape[-2:])
    return rows @ luma @ columns.T


def _features(values: Tensor, block: int, stride: int) -> Tensor:
    """Return 18 features of each block of [B, H, W]: of the block and of its products with four shifted copies.

    Float64 [B, blocks, 18]. A copy is shifted within its block: what leaves it on one side comes in on the other.
    """
    import torch

    shape, left, right, mean = _fit_gaussian(block_sums(values, block, stride), block**2)
    features = [shape[0], (left[0] + right[0]) / 2]
    for place in range(1, len(shape)):
        features += [shape[place], mean[place], left[place], right[place]]
    return torch.stack(features, -1)


def _fit_gaussian(sums: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian by the moments of `count` values, `block_sums`'s [5, ...].

    Returns its shape, the scales of its left and right half, and its mean; NaN for values that are all 0.
    """
    import torch

    ratios, shapes, scales, means = _table()
    absolute, left_square, right_square, left_count, right_count = sums
    left, right = (left_square / left_count).sqrt(), (right_square / right_count).sqrt()
    absolute, square = absolute / count, (left_square + right_square) / count
    skew = left / right
    ratio = absolute.square() / square * (skew**3 + 1) * (skew + 1) / (skew.square() + 1).square()
    place = torch.searchsorted(ratios, ratio.nan_to_num(0)).clamp(1, len(ratios) - 1)
    place = torch.where(ratio - ratios[place - 1] <= ratios[place] - ratio, place - 1, place)
    undefined = ratio.isnan()
    shape, scale = shapes[place].masked_fill(undefined, torch.nan), scales[place]
    left, right = left * scale, right * scale
    return shape, left, right, (right - left) * means[place]


@functools.cache
def _table() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return, for every shape tried, the ratio of moments it has (rising), the shape, and what scale and mean take."""
    import torch

    start, end, step = _SHAPES
    shapes = torch.arange(round((end - start) / step) + 1, dtype=torch.float64) * step + start
    one, two, three = (torch.lgamma(k / shapes) for k in (1, 2, 3))
    return (2 * two - one - three).exp(), shapes, ((one - three) / 2).exp(), (two - one).exp()


def block_count(block: int, stride: int, height: int, width: int) -> int:
    """Return how many blocks a picture has."""
    return ((height - block) // stride + 1) * ((width - block) // stride + 1)


def blocks_of(features: np.ndarray) -> np.ndarray:
    """Return the features of each block [N, blocks, 36] of `describe`'s [N, blocks * 36]."""
    return features.reshape(len(features), -1, FEATURES)


def sharp_blocks(picture: np.ndarray, block: int, stride: int) -> np.ndarray:
    """Return the features of the blocks of a picture [H, W, 3] sharper than 0.75 of the sharpest: float64 [n, 36].

    Sharpness is the mean local deviation; flat blocks are left out.
    """
    features = blocks_of(describe(picture[None], block, stride))[0]
    _, deviation = _normalise(_luma(_crop(picture[None], block, stride)))
    sharp = cut_blocks(deviation, block, stride).mean(dim=(-2, -1))[0].numpy()
    return np.asarray(features[(sharp > _SHARP * sharp.max()) & np.isfinite(features).all(axis=1)])
