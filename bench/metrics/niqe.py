"""NIQE, the distance of a picture's local statistics from those of pristine pictures, honest for small faces.

The features of a block are 36 numbers: parameters of asymmetric generalised Gaussians fitted to the locally normalised
luma and to its products with four shifted copies, at full and half size. NIQE is the distance between the Gaussian of
a picture's blocks and that of pristine pictures. A face of 128x128 holds a single block of the standard 96x96, and one
block has no covariance, so three conventions are told apart:

- `niqe-pooled`: one Gaussian over all blocks of the whole test set, four overlapping blocks a face. Defined, and the
  default in tables.
- `niqe`: the standard blocks, a single block's covariance taken as 0, as published values of such faces must have been
  made. It sees 56% of a face of 128x128.
- `niqe-tiled`: blocks of 32x32, of which a face has sixteen. The pristine Gaussian was made of larger blocks.

Source: Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import UserError
from bench.core.files import read_json, write_json
from bench.data.imresize import resize_weights
from bench.metrics.parts import in_parts
from bench.metrics.spec import Described, Description

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = 36
BLOCK, STRIDE = 96, 32  # pixels; NIQE's own blocks, and how far apart niqe-pooled lays them
PARAMETERS = Path(__file__).with_name("niqe_parameters.json")
_LUMA = (299, 587, 114)  # thousandths
_AT_ONCE = 8 * 96 * 96  # pixels of blocks, whose float64 copies stay in a core's cache
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns
_SHAPES = (0.2, 10.0, 0.001)  # from, to, step of the shape parameters that are tried
_FLAT = 1e-9  # levels: what arithmetic leaves of nothing must not count as a positive or negative value
_OTHER_BLOCK = "blocks of {0}x{0} against a pristine Gaussian of {1}x{1}"
_REFITTED = "not the published pristine pictures: compares with values of the same file alone"
_SHARP = 0.75  # pristine blocks are those sharper than this part of the sharpest


@dataclass(frozen=True)
class Pristine:
    """The Gaussian of pristine blocks: `mean` [36], `covariance` [36, 36]; `digest` names the file it is from.

    `block` is the side of the blocks that it was fitted to.
    """

    mean: np.ndarray
    covariance: np.ndarray
    digest: str
    block: int = BLOCK


def read_pristine(path: Path) -> Pristine:
    """Read a pristine Gaussian; raise UserError for a file of another kind. Without `block` it is of 96x96."""
    given = read_json(path)
    try:
        mean, covariance = (np.array(given[key], np.float64) for key in ("mean", "covariance"))
        block = int(given.get("block", BLOCK))
    except (AttributeError, KeyError, TypeError, ValueError):
        mean = covariance = np.empty(0)
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES) or not np.isfinite(covariance).all():
        raise UserError(f"{path}: not NIQE parameters: expected a mean of 36 numbers and a covariance of 36x36")
    return Pristine(mean, covariance, hashlib.sha256(path.read_bytes()).hexdigest()[:12], block)


@functools.cache
def pristine(path: Path = PARAMETERS) -> Pristine:
    """Return the pristine Gaussian of `path` (see `read_pristine`), read once."""
    return read_pristine(path)


def fit(pictures: Iterable[np.ndarray], path: Path, block: int = BLOCK, stride: int | None = None) -> Pristine:
    """Fit a pristine Gaussian to pictures, uint8 [H, W, 3] each, and write it to `path`.

    Blocks lie `stride` pixels apart (default: side by side, as published). Of each picture those count that are
    sharper (mean local deviation) than 0.75 of its sharpest. Raises UserError when fewer than 37 are left, whose
    covariance would be singular, for a picture smaller than a block, and for sides that can't be halved.
    """
    stride = block if stride is None else stride
    for name, value, least in (("block", block, 16), ("stride", stride, 2)):
        if value < least or value % 2:
            raise UserError(f"{name} {value}: expected an even number of pixels, at least {least}")
    found = [_sharp_blocks(picture[None], block, stride) for picture in pictures]
    kept, count = np.concatenate([np.empty((0, FEATURES)), *found]), len(found)
    if len(kept) <= FEATURES:
        raise UserError(f"only {len(kept)} sharp blocks in {count} pictures: more than {FEATURES} are needed")
    write_json(
        path,
        {
            "source": f"{len(kept)} blocks of {block}x{block} of {count} pictures",
            "block": block,
            "stride": stride,
            "blocks": len(kept),
            "pictures": count,
            "mean": kept.mean(axis=0).tolist(),
            "covariance": np.cov(kept, rowvar=False).tolist(),
        },
    )
    pristine.cache_clear()
    return pristine(path)


def _sharp_blocks(picture: np.ndarray, block: int, stride: int) -> np.ndarray:
    """Return the features of the sharp blocks of one picture [1, H, W, 3]: float64 [n, 36]."""
    features = _blocks_of(describe(picture, block, stride))[0]
    _, deviation = _normalise(_luma(_crop(picture, block, stride)))
    sharp = _cut(deviation, block, stride).mean(dim=(-2, -1))[0].numpy()
    return np.asarray(features[(sharp > _SHARP * sharp.max()) & np.isfinite(features).all(axis=1)])


def describe(pictures: np.ndarray, block: int, stride: int) -> np.ndarray:
    """Return the features of all blocks of uint8 [B, H, W, 3]: float64 [B, blocks * 36], NaN for flat blocks.

    Raises UserError when a picture is smaller than a block.
    """
    blocks = _length(block, stride, *pictures.shape[1:3]) // FEATURES
    count = _AT_ONCE // max(1, blocks * block**2)
    return in_parts(lambda part: _describe(part, block, stride), (pictures,), max(1, count)).numpy()


def _describe(pictures: np.ndarray, block: int, stride: int) -> Tensor:
    import torch

    luma = _luma(_crop(pictures, block, stride))
    full = _features(_cut(_normalise(luma)[0], block, stride))
    half = _features(_cut(_normalise(_halve(luma))[0], block // 2, stride // 2))
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


def _cut(values: Tensor, block: int, stride: int) -> Tensor:
    """Return the blocks of [B, H, W]: [B, blocks, block, block], row by row."""
    return values.unfold(1, block, stride).unfold(2, block, stride).flatten(1, 2)


def _normalise(luma: Tensor) -> tuple[Tensor, Tensor]:
    """Return luma less its local mean, over its local deviation + 1, and that deviation.

    Local is a Gaussian window of 7x7 pixels and sigma 7/6; beyond the border the picture's last pixels go on.
    """
    rows, columns = (_window(side) for side in luma.shape[-2:])
    mean = rows @ luma @ columns.T
    deviation = (rows @ luma.square() @ columns.T - mean.square()).abs().sqrt()
    off = luma - mean
    off = off.masked_fill(off.abs() < _FLAT, 0)
    return off / (deviation + 1), deviation


@functools.lru_cache(maxsize=16)
def _window(side: int) -> Tensor:
    """Return the blur of one direction as a matrix [side, side]."""
    import torch

    offsets = np.arange(-3, 4)
    weight = np.exp(-0.5 * (offsets / (7 / 6)) ** 2)
    matrix = np.zeros((side, side))
    for row in range(side):
        np.add.at(matrix[row], (row + offsets).clip(0, side - 1), weight / weight.sum())
    return torch.from_numpy(matrix)


def _halve(luma: Tensor) -> Tensor:
    """Shrink [B, H, W] to half by bicubic interpolation with antialiasing, unrounded, as MATLAB does."""
    import torch

    rows, columns = (torch.from_numpy(resize_weights(side, side // 2, 0.5).copy()) for side in luma.shape[-2:])
    return rows @ luma @ columns.T


def _features(blocks: Tensor) -> Tensor:
    """Return 18 features of each block [..., h, w]: of the block and of its products with four shifted copies."""
    import torch

    shifted = (torch.roll(blocks, shift, dims=(-2, -1)) for shift in _SHIFTS)
    shape, left, right, mean = _fit_gaussian(torch.stack([blocks, *(blocks * copy for copy in shifted)]))
    features = [shape[0], (left[0] + right[0]) / 2]
    for place in range(1, len(shape)):
        features += [shape[place], mean[place], left[place], right[place]]
    return torch.stack(features, -1)


def _fit_gaussian(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian by moments to each [..., h, w].

    Returns its shape, the scales of its left and right half, and its mean; NaN for values that are all 0.
    """
    import torch

    ratios, shapes, scales, means = _table()
    halves = [values.clamp(max=0), values.clamp(min=0)]
    squares = [half.square().sum((-2, -1)) for half in halves]
    counts = [half.ne_(0).sum((-2, -1)) for half in halves]  # in place, for booleans are slow to make
    left, right = ((square / count).sqrt() for square, count in zip(squares, counts, strict=True))
    absolute = values.abs().mean((-2, -1))
    square = (squares[0] + squares[1]) / (values.shape[-1] * values.shape[-2])
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


def _blocks_of(features: np.ndarray) -> np.ndarray:
    return features.reshape(len(features), -1, FEATURES)


def distances(features: np.ndarray, reference: Pristine) -> np.ndarray:
    """Return NIQE of each picture [N, blocks * 36]: float64 [N], NaN without a block that is not flat.

    A picture of one block has a covariance of 0.
    """
    single = _precision(np.zeros((FEATURES, FEATURES)), reference)
    values = np.full(len(features), np.nan)
    for place, blocks in enumerate(_blocks_of(features)):
        blocks = blocks[np.isfinite(blocks).all(axis=1)]
        if len(blocks):
            precision = _precision(np.cov(blocks, rowvar=False), reference) if len(blocks) > 1 else single
            off = reference.mean - blocks.mean(axis=0)
            values[place] = np.sqrt(off @ precision @ off)
    return values


def pooled(features: np.ndarray, reference: Pristine) -> np.ndarray:
    """Return each picture's part in the NIQE of the whole set [N, blocks * 36]: float64 [N], whose mean is that NIQE.

    A part is the set's value plus the picture's influence on it (the derivative by the weight of its blocks), so that
    intervals over pictures hold for the set's value to first order. Pictures of flat blocks alone have NaN, and so has
    everything when fewer than two blocks are left.
    """
    blocks = _blocks_of(features)
    whole = np.isfinite(blocks).all(axis=2)
    every = blocks[whole]
    if len(every) < 2:
        return np.full(len(features), np.nan)
    mean, covariance = every.mean(axis=0), np.cov(every, rowvar=False)
    precision, off = _precision(covariance, reference), reference.mean - mean
    value = float(np.sqrt(off @ precision @ off))
    direction = precision @ off
    along = (blocks - mean) @ direction
    influence = -2 * along - 0.5 * (along**2 - direction @ covariance @ direction)
    if value:  # 0: the very blocks that the Gaussian was fitted to
        influence = influence / (2 * value)
    counts = whole.sum(axis=1)
    parts = np.where(whole, influence, 0).sum(axis=1) * (counts > 0).sum() / len(every)
    parts = np.where(counts > 0, parts, np.nan)
    return np.asarray(value + parts - np.nanmean(parts))


def _precision(covariance: np.ndarray, reference: Pristine) -> np.ndarray:
    """Return the inverse of the mean of a covariance and the pristine one."""
    return np.linalg.pinv((reference.covariance + covariance) / 2, hermitian=True)


def _length(block: int, stride: int, height: int, width: int) -> int:
    return ((height - block) // stride + 1) * ((width - block) // stride + 1) * FEATURES


def _parameters(block: int, stride: int, covariance: str, reference: Callable[[], Pristine]) -> Mapping[str, Any]:
    known = reference()
    return {
        "block": block,
        "stride": stride,
        "blocks_at_128x128": _length(block, stride, 128, 128) // FEATURES,
        "covariance": covariance,
        "pristine": known.digest,
        "pristine_block": known.block,
    }


def niqe_metrics(path: Path = PARAMETERS) -> tuple[Described, ...]:
    """Return the three metrics with the pristine Gaussian of `path`, which is read when it is first needed."""
    return make_metrics(lambda: pristine(path), BLOCK if path == PARAMETERS else pristine(path).block)


def make_metrics(reference: Callable[[], Pristine], pristine_block: int, label: str = "") -> tuple[Described, ...]:
    """Return the three metrics with the pristine Gaussian that `reference` gives, fitted to blocks of that side.

    A `label` is added to names and titles and marks a Gaussian that is not the published one.
    """

    def make(name: str, title: str, block: int, stride: int, covariance: str, caution: str) -> Described:
        whole = covariance == "of all blocks of the set"
        function = pooled if whole else distances
        off = "" if block == pristine_block else _OTHER_BLOCK.format(block, pristine_block)
        return Described(
            f"{name}:{label}" if label else name,
            f"NIQE ({title}, {label.partition('@')[0]})" if label else f"NIQE ({title})",
            "",
            False,
            3,
            (),
            "Mittal, Soundararajan and Bovik 2013" + (", refitted" if label else ""),
            partial(_parameters, block, stride, covariance, reference),
            "; ".join(filter(None, (caution, off, _REFITTED if label else ""))),
            description=Description(
                f"niqe-{block}-{stride}",
                partial(_length, block, stride),
                partial(describe, block=block, stride=stride),
            ),
            compare=lambda sr, _: function(sr, reference()),
            over_set=whole,
        )

    one = "one block of 96x96 in a face of 128x128: no covariance, and 44% of the face is not seen"
    return (
        make("niqe-pooled", "pooled", BLOCK, STRIDE, "of all blocks of the set", ""),
        make("niqe", "one block", BLOCK, BLOCK, "of a picture's blocks, 0 for one block", one),
        make("niqe-tiled", "tiled", STRIDE, STRIDE, "of a picture's blocks", ""),
    )


METRICS = niqe_metrics()
