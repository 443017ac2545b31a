"""Feature enhancement module: fuse encoder features of all scales into a decoder feature (paper, section 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.layers.eca import ECA, EcaRule

FemMerge = Literal["concat-eca", "eca-sum"]
FemAlign = Literal["pool", "conv"]


class FEM(nn.Module):
    """Refine F [B, C, H, W] by encoder features F_1, F_2, F_3 of other sizes and channels; the result has F's shape.

    Each encoder feature is aligned to F and refined (equations 10 and 11); the three results are merged, weighed by
    ECA and added to F. "concat-eca" merges by concatenation and a 1x1 convolution before one ECA, as FishFSRNet does;
    "eca-sum" weighs each result by an ECA of its own and adds them.
    """

    def __init__(
        self,
        channels: int,
        sources: Sequence[tuple[int, int]],
        *,
        merge: FemMerge = "concat-eca",
        align: FemAlign = "pool",
        eca_rule: EcaRule = "public",
    ) -> None:
        """Take `sources` as (channels, log2 of the source's size over F's size) for each encoder feature."""
        super().__init__()
        self.refine = nn.ModuleList(_Refine(channels, source, steps, align) for source, steps in sources)
        if merge == "concat-eca":
            self.merge = nn.Conv2d(channels * len(sources), channels, 1)
            self.eca: nn.Module = ECA(channels, eca_rule)
        else:
            self.merge = None
            self.eca = nn.ModuleList(ECA(channels, eca_rule) for _ in sources)

    def forward(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        refined = [refine(x, feature) for refine, feature in zip(self.refine, features, strict=True)]
        if self.merge is not None:
            return x + self.eca(self.merge(torch.cat(refined, dim=1)))
        return x + sum(eca(part) for eca, part in zip(self.eca, refined, strict=True))  # type: ignore[call-overload]


class _Refine(nn.Module):
    """F_r = H_p(F - F_i) + F; H_p is read as 3x3 convolution, LeakyReLU, 3x3 convolution."""

    def __init__(self, channels: int, source: int, steps: int, align: FemAlign) -> None:
        super().__init__()
        self.align = _Align(source, channels, steps, align)
        self.project = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        return self.project(x - self.align(feature)) + x


class _Align(nn.Module):
    """Bring an encoder feature to F's size and channels.

    The paper aligns sizes by average pooling or nearest-neighbour interpolation and says nothing of channels, without
    which equation 10 is impossible here: a 1x1 convolution where they differ. "conv" shrinks by stride-2 3x3
    convolutions instead of pooling, as FishFSRNet does.
    """

    def __init__(self, source: int, channels: int, steps: int, align: FemAlign) -> None:
        super().__init__()
        self.factor = 2.0**-steps
        self.shrink: nn.Module = nn.Identity()
        if steps > 0:
            halves = [nn.Conv2d(source, source, 3, stride=2, padding=1) for _ in range(steps)]
            self.shrink = nn.Sequential(*halves) if align == "conv" else nn.AvgPool2d(2**steps)
        self.channels = nn.Conv2d(source, channels, 1) if source != channels else nn.Identity()

    def forward(self, feature: Tensor) -> Tensor:
        feature = self.shrink(feature)
        if self.factor > 1:
            feature = F.interpolate(feature, scale_factor=self.factor, mode="nearest")
        return self.channels(feature)
