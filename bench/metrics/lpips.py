"""LPIPS: how far apart two pictures are to a network that was trained to see and a linear head trained on human votes.

The features of each stage of AlexNet or VGG16 are scaled to unit length over the channels; their squared difference is
weighted by channel, averaged over the picture, and summed over the five stages. Version 0.1, in which pictures enter
with ImageNet's mean and deviation.

Source: Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018, section 3 (equation 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.metrics.learned import WeightFile
from bench.metrics.parts import in_parts
from bench.metrics.spec import Batch, Pairwise, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON = 1e-10  # added to the length of a feature vector
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation on [-1, 1]
_AT_ONCE = 8 * 128 * 128  # pixels of each side at a time: VGG16 then takes about 0.4 GB
_FETCH = "run `fsr fetch lpips`"


@dataclass(frozen=True)
class Stage:
    """Convolutions, each followed by ReLU: (stride, padding) of each; `pool` is the side of the window before them."""

    convolutions: tuple[tuple[int, int], ...]
    pool: int = 0


@dataclass(frozen=True)
class Stack:
    """The convolutions of a network up to its last ReLU: stages, and the least side in pixels that reaches the last."""

    title: str
    stages: tuple[Stage, ...]
    least: int


ALEX = Stack(
    "AlexNet",
    (Stage(((4, 2),)), Stage(((1, 2),), 3), Stage(((1, 1),), 3), Stage(((1, 1),)), Stage(((1, 1),))),
    31,
)
VGG = Stack(
    "VGG16",
    (Stage(((1, 1),) * 2), Stage(((1, 1),) * 2, 2), *(Stage(((1, 1),) * 3, 2) for _ in range(3))),
    16,
)
# The hashes of what `fsr fetch lpips` makes of the archive.
ALEX_WEIGHTS = WeightFile("lpips-alex", _FETCH, "7537bed2d0131855942ddaed14b257795095e3b8770161b5fc9e6f7186955afe")
VGG_WEIGHTS = WeightFile("lpips-vgg", _FETCH, "12ecf9521052b523d27de72a75686e73848c9b72c6136ce27cd45061fd9e3c15")


def features(
    stack: Stack, weights: Mapping[str, Tensor], pictures: Tensor, pool: Callable[[Tensor, int], Tensor] | None = None
) -> Iterator[Tensor]:
    """Yield the features of each stage, float [B, C, h, w], of normalised pictures [B, 3, H, W].

    `weights` has `conv<n>.weight` (OIHW) and `conv<n>.bias`, counted from 0. `pool` halves what comes before a stage,
    given the side of its window; the default takes the maximum.
    """
    import torch.nn.functional as F

    number = 0
    for stage in stack.stages:
        if stage.pool:
            pictures = pool(pictures, stage.pool) if pool else F.max_pool2d(pictures, stage.pool, 2)
        for stride, padding in stage.convolutions:
            weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
            pictures = F.relu(F.conv2d(pictures, weight, bias, stride, padding))
            number += 1
        yield pictures


def lpips(sr: Tensor, hr: Tensor, stack: Stack, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the LPIPS of each pair, RGB float [B, 3, H, W] in [0, 1]: float64 [B], 0 for identical pictures.

    `weights` are those of `features` and `head<n>.weight` [1, C, 1, 1] of each stage, all on the pictures' device.
    """
    import torch
    import torch.nn.functional as F

    shift, scale = (sr.new_tensor(values).reshape(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    pictures = (torch.cat([sr, hr]) * 2 - 1 - shift) / scale
    total = torch.zeros(len(sr), dtype=torch.float64, device=sr.device)
    for place, seen in enumerate(features(stack, weights, pictures)):
        unit = seen / (seen.square().sum(1, keepdim=True).sqrt() + _EPSILON)
        squares = (unit[: len(sr)] - unit[len(sr) :]).square()
        total += F.conv2d(squares, weights[f"head{place}.weight"]).mean((1, 2, 3), dtype=torch.float64)
    return total


def _compute(stack: Stack, file: WeightFile, batch: Batch) -> Tensor:
    """Compare SR, clamped to [0, 1], with HR: without gradients and, on CUDA, in full float32 precision."""
    import torch

    assert batch.hr is not None
    height, width = batch.sr.shape[-2:]
    if min(height, width) < stack.least:
        raise UnavailableError(
            f"not defined for {width}x{height} pixels: at least {stack.least}x{stack.least} are needed"
        )
    weights = file.tensors(batch.sr.device)

    def score(sr: Tensor, hr: Tensor) -> Tensor:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return lpips(sr.clamp(0, 1), hr, stack, weights)

    return in_parts(score, (batch.sr, batch.hr), max(1, _AT_ONCE // (height * width)))


def _parameters(stack: Stack, file: WeightFile) -> Mapping[str, Any]:
    return {"version": "0.1", "network": stack.title, "weights": file.digest()[:12]}


def _metric(name: str, stack: Stack, file: WeightFile) -> Pairwise:
    return Pairwise(
        name,
        f"LPIPS ({stack.title})",
        "",
        False,
        4,
        ("hr",),
        f"Zhang et al. 2018, version 0.1 on {stack.title}, of RGB; weights by `fsr fetch lpips` (BSD)",
        partial(_parameters, stack, file),
        compute=partial(_compute, stack, file),
    )


METRICS = (_metric("lpips-alex", ALEX, ALEX_WEIGHTS), _metric("lpips-vgg", VGG, VGG_WEIGHTS))
