"""SPARNet's convolution layer, used by all blocks of SPARNet and of the proposed network and by CTCNet's attention."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Scale = Literal["same", "up", "down"]


class ConvLayer(nn.Module):
    """[nearest x2] -> reflection padding -> convolution [stride 2] -> [BatchNorm] -> [LeakyReLU 0.2].

    Maps [B, C_in, H, W] to [B, C_out, H', W'], H' being H, 2H ("up") or H/2 ("down"). A bias where no norm follows.
    With `prelu` the slope below zero is learned for each channel, from 0.25.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        scale: Scale = "same",
        *,
        norm: bool = True,
        act: bool = True,
        prelu: bool = False,
    ) -> None:
        super().__init__()
        self.up = scale == "up"
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=2 if scale == "down" else 1,
            padding=kernel // 2,
            padding_mode="reflect",
            bias=not norm,
        )
        self.norm = nn.BatchNorm2d(out_channels) if norm else nn.Identity()
        slope = nn.PReLU(out_channels) if prelu else nn.LeakyReLU(0.2, inplace=True)
        self.act = slope if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.act(self.norm(self.conv(x)))
