"""SPARNet's hourglass: one attention map, or one a channel, from features at several scales."""

from __future__ import annotations

from torch import Tensor, nn

from methods.layers.conv import ConvLayer


class Hourglass(nn.Module):
    """Map features [B, C, H, W] to attention logits [B, out_channels, H, W]; H must be divisible by 2^depth.

    Source: SPARNet's released code as described; the proposed paper cites Newell et al. but describes this block
    (section 3.2). Each level: a skip convolution, a stride-2 convolution, the next level (a convolution at the bottom),
    and an up convolution; skip and up are added. The caller applies the sigmoid.
    """

    def __init__(self, channels: int, out_channels: int, depth: int, mid: int) -> None:
        super().__init__()
        self.levels = _Level(channels, mid, depth)
        self.to_attention = ConvLayer(mid, out_channels, norm=False, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.to_attention(self.levels(x))


class _Level(nn.Module):
    def __init__(self, channels: int, mid: int, depth: int) -> None:
        super().__init__()
        self.skip = ConvLayer(channels, mid)
        self.down = ConvLayer(channels, mid, scale="down")
        self.inner = _Level(mid, mid, depth - 1) if depth > 1 else ConvLayer(mid, mid)
        self.up = ConvLayer(mid, mid, scale="up")

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.up(self.inner(self.down(x)))
