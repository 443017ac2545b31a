"""SPARNet's convolution layer, used by every block of SPARNet and of the proposed network."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Scale = Literal["same", "up", "down"]


class ConvLayer(nn.Module):
    """[nearest x2] -> reflection padding -> convolution [stride 2] -> [BatchNorm] -> [LeakyReLU 0.2].

    Maps [B, C_in, H, W] to [B, C_out, H', W'], H' being H, 2H ("up") or H/2 ("down"). A bias where no norm follows.
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
        self.act = nn.LeakyReLU(0.2, inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.act(self.norm(self.conv(x)))
