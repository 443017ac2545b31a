"""SPARNet's hourglass: one attention map, or one a channel, from features at several scales."""

from __future__ import annotations

import re

from torch import Tensor, nn

from methods.layers.conv import ConvLayer

_RELEASED = re.compile(r"b(1|2|2_plus|3)_(\d)\.(conv2d|norm\.norm|relu\.func)\.(\w+)")
_PARTS = {"1": "skip", "2": "down", "2_plus": "inner", "3": "up"}
_LAYERS = {"conv2d": "conv", "norm.norm": "norm", "relu.func": "act"}


class Hourglass(nn.Module):
    """Map features [B, C, H, W] to attention logits [B, out_channels, H, W]; H must be divisible by 2^depth.

    Source: SPARNet's released code as described; the proposed paper cites Newell et al. but describes this block
    (section 3.2). Each level: a skip convolution, a stride-2 convolution, the next level (a convolution at the bottom),
    and an up convolution; skip and up are added. The caller applies the sigmoid.
    """

    def __init__(self, channels: int, out_channels: int, depth: int, mid: int) -> None:
        super().__init__()
        self.levels = HourglassLevel(channels, mid, depth)
        self.to_attention = ConvLayer(mid, out_channels, norm=False, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_attention(self.levels(x))


class HourglassLevel(nn.Module):
    """Map features [B, C, H, W] to [B, mid, H, W] by the outermost of `depth` levels; `prelu` as of ConvLayer."""

    def __init__(self, channels: int, mid: int, depth: int, *, prelu: bool = False) -> None:
        super().__init__()
        self.skip = ConvLayer(channels, mid, prelu=prelu)
        self.down = ConvLayer(channels, mid, scale="down", prelu=prelu)
        self.inner = HourglassLevel(mid, mid, depth - 1, prelu=prelu) if depth > 1 else ConvLayer(mid, mid, prelu=prelu)
        self.up = ConvLayer(mid, mid, scale="up", prelu=prelu)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.up(self.inner(self.down(x)))


def released_name(name: str, depth: int) -> str | None:
    """Return what HourglassLevel of `depth` calls a tensor of SPARNet's hourglass as released; None for no such tensor.

    The released levels are counted from the innermost, 1, which alone has a "b2_plus".
    """
    match = _RELEASED.fullmatch(name)
    if not match or not 1 <= int(match[2]) <= (1 if match[1] == "2_plus" else depth):
        return None
    return "inner." * (depth - int(match[2])) + f"{_PARTS[match[1]]}.{_LAYERS[match[3]]}.{match[4]}"
