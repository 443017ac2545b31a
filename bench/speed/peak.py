"""How fast this machine convolves at best: what the speed of a training step is a share of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import conv_flop_count

from bench.models.cost import forward
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
    flops = _convolutions(network, lr)
    largest = sorted(flops, key=flops.__getitem__)[-_OF_NETWORK:]
    layouts = (torch.contiguous_format, torch.channels_last)
    return max(_rate(shape, layout, lr.device, dtype) for shape in (SUITABLE, *largest) for layout in layouts)


def _convolutions(network: nn.Module, lr: Tensor) -> dict[Shape, int]:
    """Return the shapes of the network's plain convolutions, and the operations of each."""
    flops: dict[Shape, int] = {}

    def note(layer: Any, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        if layer.groups == 1 and layer.dilation == (1, 1) and not isinstance(layer.padding, str):
            x, weight = inputs[0].shape, layer.weight.shape
            flops[tuple(x), tuple(weight), layer.stride, layer.padding] = conv_flop_count(
                list(x), list(weight), list(out.shape)
            )

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if type(layer) is torch.nn.Conv2d]
    with forward(network, lr) as run:
        run()
    for hook in hooks:
        hook.remove()
    return flops


def _rate(shape: Shape, layout: torch.memory_format, device: torch.device, dtype: torch.dtype) -> float:
    size, kernel, stride, padding = shape
    x = torch.randn(size, device=device).to(dtype).contiguous(memory_format=layout)
    weight = (torch.randn(kernel, device=device) / 34).to(dtype).contiguous(memory_format=layout)
    with torch.no_grad():
        out = F.conv2d(x, weight, None, stride, padding)
        times = [seconds_of(lambda: F.conv2d(x, weight, None, stride, padding), device) for _ in range(_CALLS)]
    return float(conv_flop_count(list(size), list(kernel), list(out.shape)) / min(times))
