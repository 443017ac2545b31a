"""LPIPS: how far apart two pictures are to a network that was trained to see and a linear head trained on human votes.

The features of each stage of AlexNet or VGG16 are scaled to unit length over the channels; their squared difference is
weighted by channel, averaged over the picture, and summed over the five stages. Version 0.1, in which pictures enter
with ImageNet's mean and deviation.

Source: Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018, section 3 (equation 1).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.metrics.learned import WeightFile
from bench.metrics.parts import in_parts
from bench.metrics.protocol import unit
from bench.metrics.spec import Batch, Pairwise, UnavailableError

if TYPE_CHECKING:
    from torch import Tensor

_EPSILON = 1e-10  # added to the length of a feature vector
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's mean and deviation on [-1, 1]
_AT_ONCE = 8 * 128 * 128  # pixels of each side at a time: VGG16 then takes about 0.4 GB
_FETCH = "run `fsr fetch lpips`"
_3x3 = (1, 1)


@dataclass(frozen=True)
class Network:
    """The convolutions of a network up to its last ReLU.

    `stages` have the side of the window that takes the maximum before them (0: none), then stride and padding of each
    convolution; `least` is the side in pixels from which the last stage is reached; `file` is what `fsr fetch` makes.
    """

    title: str
    stages: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]
    least: int
    file: WeightFile


ALEX = Network(
    "AlexNet",
    ((0, ((4, 2),)), (3, ((1, 2),)), (3, (_3x3,)), (0, (_3x3,)), (0, (_3x3,))),
    31,
    WeightFile("lpips-alex", _FETCH, "7537bed2d0131855942ddaed14b257795095e3b8770161b5fc9e6f7186955afe"),
)
VGG = Network(
    "VGG16",
    ((0, (_3x3,) * 2), (2, (_3x3,) * 2), (2, (_3x3,) * 3), (2, (_3x3,) * 3), (2, (_3x3,) * 3)),
    16,
    WeightFile("lpips-vgg", _FETCH, "12ecf9521052b523d27de72a75686e73848c9b72c6136ce27cd45061fd9e3c15"),
)


def layers(network: Network, weights: Mapping[str, Tensor], pictures: Tensor) -> Iterator[Tensor]:
    """Yield what each convolution makes, after its ReLU, float [B, C, h, w], of normalised pictures [B, 3, H, W].

    `weights` has `conv<n>.weight` (OIHW) and `conv<n>.bias`, counted from 0. No layer beyond the last one that is asked
    for is computed.
    """
    import torch.nn.functional as F

    number = 0
    for window, convolutions in network.stages:
        if window:
            pictures = F.max_pool2d(pictures, window, 2)
        for stride, padding in convolutions:
            weight, bias = weights[f"conv{number}.weight"], weights[f"conv{number}.bias"]
            pictures = F.conv2d(pictures, weight, bias, stride, padding).relu_()
            number += 1
            yield pictures


def features(network: Network, weights: Mapping[str, Tensor], pictures: Tensor) -> Iterator[Tensor]:
    """Yield the last of the `layers` of each stage."""
    ends = set(itertools.accumulate(len(convolutions) for _, convolutions in network.stages))
    return (seen for number, seen in enumerate(layers(network, weights, pictures), 1) if number in ends)


def normalise(pictures: Tensor) -> Tensor:
    """Return RGB pictures [B, 3, H, W] in [0, 1] with ImageNet's mean and deviation, as the networks read them."""
    shift, scale = (pictures.new_tensor(values).reshape(1, 3, 1, 1) for values in (_SHIFT, _SCALE))
    return (pictures * 2 - 1 - shift) / scale


def lpips(sr: Tensor, hr: Tensor, network: Network, weights: Mapping[str, Tensor]) -> Tensor:
    """Return the LPIPS of each pair, RGB float [B, 3, H, W] in [0, 1]: float64 [B], 0 for identical pictures.

    `weights` are those of `features` and `head<n>.weight` [1, C, 1, 1] of each stage, all on the pictures' device.
    """
    import torch
    import torch.nn.functional as F

    pictures = normalise(torch.cat([sr, hr]))
    pictures = pictures.contiguous(memory_format=torch.channels_last)  # no copy where they are so, as read
    total = torch.zeros(len(sr), dtype=torch.float64, device=sr.device)
    for place, seen in enumerate(features(network, weights, pictures)):
        direction = seen / (seen.square().sum(1, keepdim=True).sqrt() + _EPSILON)
        squares = (direction[: len(sr)] - direction[len(sr) :]).square()
        total += F.conv2d(squares, weights[f"head{place}.weight"]).mean((1, 2, 3), dtype=torch.float64)
    return total


def _compute(network: Network, batch: Batch) -> Tensor:
    """Compare SR, clamped to [0, 1], with HR: without gradients and, on CUDA, in full float32 precision."""
    import torch

    height, width = batch.sr.shape[-2:]
    if min(height, width) < (least := network.least):
        raise UnavailableError(f"not defined for {width}x{height} pixels: at least {least}x{least} are needed")
    weights = network.file.tensors(batch.sr.device)

    def score(sr: Tensor, hr: Tensor) -> Tensor:
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return lpips(unit(sr).clamp(0, 1), unit(hr), network, weights)

    return in_parts(score, (batch.sr, batch.hr), max(1, _AT_ONCE // (height * width)))


def _parameters(network: Network) -> Mapping[str, Any]:
    return {"version": "0.1", "network": network.title, "weights": network.file.digest()[:12]}


METRICS = tuple(
    Pairwise(
        network.file.name,
        f"LPIPS ({network.title})",
        *("", False, 4, ("hr",)),
        f"Zhang et al. 2018, version 0.1 on {network.title}, of RGB; weights by `fsr fetch lpips` (BSD)",
        partial(_parameters, network),
        compute=partial(_compute, network),
    )
    for network in (ALEX, VGG)
)
