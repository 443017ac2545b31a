"""DISTS: likeness of structure and of texture in the features of VGG16; another sample of a texture costs little.

Of each channel, that of the picture itself included, the means tell the texture and the covariance tells the structure;
both are compared as SSIM does and weighted by what was fitted to human votes. Pooling is a blurred root of squares
instead of a maximum.

Source: Ding, Ma, Wang and Simoncelli, "Image Quality Assessment: Unifying Structure and Texture Similarity", 2020,
section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.metrics.learned import WeightFile
from bench.metrics.lpips import VGG, VGG_WEIGHTS, features, in_parts
from bench.metrics.spec import Batch, Pairwise

if TYPE_CHECKING:
    from torch import Tensor

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
_STABLE = 1e-6  # c1 and c2 of the paper
_FETCH = "run `fsr fetch dists`"  # which fetches VGG16 too
WEIGHTS = WeightFile("dists", _FETCH, "745cdae1b30c00fe14c81d72f852015ae5c33dc3d83c49d4c928295c1cfc4ce9")
_VGG_WEIGHTS = replace(VGG_WEIGHTS, way_out=_FETCH)


def dists(sr: Tensor, hr: Tensor, vgg: Mapping[str, Tensor], votes: Mapping[str, Tensor]) -> Tensor:
    """Return the DISTS of each pair, RGB float [B, 3, H, W] in [0, 1]: float64 [B], 0 for identical pictures.

    `vgg` has VGG16's convolutions (see bench.metrics.lpips.features), `votes` the weights `alpha` and `beta` of texture
    and structure, [1475] each: a number for each channel of the picture and of VGG16's five stages.
    """
    import torch

    alpha, beta = (votes[name].double() for name in ("alpha", "beta"))
    whole, start = alpha.sum() + beta.sum(), 0
    found = torch.zeros(len(sr), dtype=torch.float64, device=sr.device)
    for seen in _levels(torch.cat([sr, hr]), vgg):
        here = slice(start, start + seen.shape[1])
        texture, structure = _likeness(seen[: len(sr)], seen[len(sr) :])
        found += ((1 - texture) * alpha[here] + (1 - structure) * beta[here]).sum(1) / whole
        start = here.stop
    return found


def _levels(pictures: Tensor, vgg: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Yield the pictures themselves, then VGG16's features of their normalised selves."""
    mean, deviation = (pictures.new_tensor(values).reshape(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    yield pictures
    yield from features(VGG, vgg, (pictures - mean) / deviation, _blurred_root)


def _blurred_root(seen: Tensor, _: int) -> Tensor:
    """Return the root of the squares' mean under a Hann window of 3x3, at every other place of [B, C, h, w]."""
    import torch.nn.functional as F

    side = seen.new_tensor((0.25, 0.5, 0.25))
    window = (side[:, None] * side).expand(seen.shape[1], 1, 3, 3)
    squares = F.conv2d(seen.square(), window, stride=2, padding=1, groups=seen.shape[1])
    return (squares + 1e-12).sqrt()


def _likeness(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return how alike the means are, and the courses around them, of each channel of [B, C, h, w]: float64 [B, C]."""
    mean_x, mean_y = (one.mean((2, 3), keepdim=True) for one in (x, y))
    off_x, off_y = x - mean_x, y - mean_y
    spread_x, spread_y, common = (
        product.mean((2, 3)).double() for product in (off_x.square(), off_y.square(), off_x * off_y)
    )
    mean_x, mean_y = (one.double().flatten(1) for one in (mean_x, mean_y))
    texture = (2 * mean_x * mean_y + _STABLE) / (mean_x.square() + mean_y.square() + _STABLE)
    return texture, (2 * common + _STABLE) / (spread_x + spread_y + _STABLE)


def _compute(batch: Batch) -> Tensor:
    vgg, votes = (file.tensors(batch.sr.device) for file in (_VGG_WEIGHTS, WEIGHTS))
    return in_parts(batch, 1, lambda sr, hr: dists(sr, hr, vgg, votes))


def _parameters() -> Mapping[str, Any]:
    return {"network": VGG.title, "weights": _VGG_WEIGHTS.digest()[:12], "votes": WEIGHTS.digest()[:12]}


METRICS = (
    Pairwise(
        "dists",
        "DISTS",
        "",
        False,
        4,
        ("hr",),
        "Ding et al. 2020, of RGB at its own size; weights by `fsr fetch dists` (MIT, those of VGG16 BSD)",
        _parameters,
        compute=_compute,
    ),
)
