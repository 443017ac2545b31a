"""Cross convolution and the blocks that Cross-SRN and the proposed network build from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods.layers.eca import ECA, EcaRule


class CrossConv(nn.Module):
    """Sum of a 1 x m and an m x 1 convolution with one bias: [B, C, H, W] -> [B, C, H, W] (paper, equation 6)."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.row = nn.Conv2d(channels, channels, (1, kernel), padding=(0, kernel // 2))
        self.column = nn.Conv2d(channels, channels, (kernel, 1), padding=(kernel // 2, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.row(x) + self.column(x)


class CrossConvBlock(nn.Module):
    """CCB: cross convolutions with PReLU between, ECA, plus the input; [B, C, H, W] -> [B, C, H, W].

    The paper (section 3.3) says only that a CCB holds cross convolution and ECA. Read after Cross-SRN's block with its
    SE replaced by ECA and its LeakyReLU by PReLU; that block also adds a depthwise 3x3, which the paper's text lacks
    (`depthwise`).
    """

    def __init__(self, channels: int, kernel: int, convs: int, depthwise: bool, eca_rule: EcaRule) -> None:
        super().__init__()
        parts: list[nn.Module] = [CrossConv(channels, kernel)]
        for _ in range(convs - 1):
            parts += [nn.PReLU(channels), CrossConv(channels, kernel)]
        self.body = nn.Sequential(*parts)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels) if depthwise else None
        self.eca = ECA(channels, eca_rule)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if self.depthwise is not None:
            y = y + self.depthwise(y)
        return self.eca(y) + x


class ESEM(nn.Module):
    """Efficient structure extraction module: [B, C, H, W] -> [B, C, H, W], C divisible by four (paper, section 3.3).

    Equation 5 joins groups that went through 0, 1, 2 and 3 CCBs. Read as Cross-SRN's hierarchy: four equal quarters;
    the first CCB sees the last three, gives one of them away and passes two on, and so on (the paper's order of groups
    is the mirror image, a permutation of channels). `kernels` are the CCBs' m, from the widest to the narrowest.
    H_fuse is read in Cross-SRN's order: ECA, convolution, PReLU, convolution, plus the module's input.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernels: Sequence[int] = (3, 3, 3),
        convs: int = 2,
        depthwise: bool = False,
        fuse_kernel: int = 3,
        residual: bool = True,
        eca_rule: EcaRule = "public",
    ) -> None:
        super().__init__()
        if channels % 4 or len(kernels) != 3:
            raise ValueError(f"ESEM needs channels divisible by 4 and three kernels, {channels} and {kernels} given")
        self.quarter, self.residual = channels // 4, residual
        self.blocks = nn.ModuleList(
            CrossConvBlock(self.quarter * (3 - i), kernel, convs, depthwise, eca_rule)
            for i, kernel in enumerate(kernels)
        )
        pad = fuse_kernel // 2
        self.fuse = nn.Sequential(
            ECA(channels, eca_rule),
            nn.Conv2d(channels, channels, fuse_kernel, padding=pad),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, fuse_kernel, padding=pad),
        )

    def forward(self, x: Tensor) -> Tensor:
        done, rest = [], x
        for block in self.blocks:
            done.append(rest[:, : self.quarter])
            rest = block(rest[:, self.quarter :])
        y = self.fuse(torch.cat([*done, rest], dim=1))
        return y + x if self.residual else y
