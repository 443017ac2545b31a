"""How fast this machine convolves at best: what the speed of a training step is a share of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from bench.speed.timing import seconds_of

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = tuple[tuple[int, ...], tuple[int, ...], tuple[int, int], tuple[int, int]]  # input, weight, stride, padding
SUITABLE: Shape = ((8, 128, 64, 64), (128, 128, 3, 3), (1, 1), (1, 1))  # suits every device that was tried
_OF_NETWORK = 4  # shapes, those with the most operations
_CALLS = 8


def conv_peak(network: nn.Module, lr: Tensor, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the fastest convolution: of `network`'s own for a batch lr [B, 3, h, w], and a suitable one.

    Each is timed contiguous and channels last, forward without a bias, and its quickest call counts.
    """
    shapes = sorted(_shapes(network, lr), key=flops_of)[-_OF_NETWORK:]
    layouts = (torch.contiguous_format, torch.channels_last)
    return max(_rate(shape, layout, lr.device, dtype) for shape in (SUITABLE, *shapes) for layout in layouts)


def flops_of(shape: Shape) -> int:
    """Return the operations of a convolution, a multiplication and an addition counted as two."""
    (batch, _, *size), (out, channels, *kernel), stride, padding = shape
    sides = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    total = 2 * batch * out * channels * kernel[0] * kernel[1]
    for side in sides:
        total *= side
    return total


def _shapes(network: nn.Module, lr: Tensor) -> set[Shape]:
    """Return the shapes of the network's plain convolutions."""
    seen: set[Shape] = set()

    def note(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        if layer.groups == 1 and layer.dilation == (1, 1) and not isinstance(layer.padding, str):
            seen.add((tuple(inputs[0].shape), tuple(layer.weight.shape), layer.stride, layer.padding))

    layers = [layer for layer in network.modules() if type(layer) is torch.nn.Conv2d]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    training = network.training
    with torch.no_grad():
        network.eval()(lr)  # training would move BatchNorm's statistics
    network.train(training)
    for hook in hooks:
        hook.remove()
    return seen


def _rate(shape: Shape, layout: torch.memory_format, device: torch.device, dtype: torch.dtype) -> float:
    size, kernel, stride, padding = shape
    x = torch.randn(size, device=device).to(dtype).contiguous(memory_format=layout)
    weight = (torch.randn(kernel, device=device) / 34).to(dtype).contiguous(memory_format=layout)
    with torch.no_grad():
        times = [seconds_of(lambda: F.conv2d(x, weight, None, stride, padding), device) for _ in range(_CALLS)]
    return flops_of(shape) / min(times)
