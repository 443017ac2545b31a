"""Pyramid attention (Mei et al. 2020), batched and without unfolded patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PaScope = Literal["joint", "per-level"]
SCALES = (1.0, 0.9, 0.8, 0.7, 0.6)


class PyramidAttention(nn.Module):
    """Attend from each pixel's 3x3 patch to the patches of a pyramid of the features; [B, C, H, W] in and out.

    Source: PANet's published module (five levels, reduction 2, softmax scale 10, fixed division by 4) and the proposed
    paper's section 3.4, which names neither. Published, 3x3 patches of all levels become the kernels of a convolution
    and of a transposed convolution. With 3x3 patches the correlation of two patches is a sum of nine correlations of
    pixels, S[l, p] = sum_d <k(l + d), q(p + d)>, so the pixel correlations are computed once and summed along the
    diagonal of the two grids: the same numbers from products nine times smaller. The overlapping sum of the transposed
    convolution is the same diagonal sum, applied to the attention.

    Equation 9's sum "over all positions of each scale" is read as PANet's code does it: one softmax over the positions
    of all levels (`scope` "joint"). "per-level" takes a softmax a level and the mean over levels.
    """

    def __init__(
        self,
        channels: int,
        *,
        scales: Sequence[float] = SCALES,
        scope: PaScope = "joint",
        reduction: int = 2,
        softmax_scale: float = 10.0,
    ) -> None:
        super().__init__()
        if not scales or not all(0 < scale <= 1 for scale in scales):
            raise ValueError(f"pyramid scales must lie in (0, 1], {tuple(scales)} given")
        self.scales, self.scope, self.softmax_scale = tuple(scales), scope, softmax_scale
        inner = max(1, channels // reduction)
        self.query = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.PReLU())
        self.match = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.PReLU())
        self.assembly = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.PReLU())

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return the height and width of each level; sizes are cut to whole pixels, 798 keys in all at 16x16."""
        return [(int(scale * height), int(scale * width)) for scale in self.scales]

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        sizes = self.sizes(height, width)
        pairs = zip(sizes, self.scales, strict=True)
        levels = [x if size == (height, width) else _shrink(x, size, scale) for size, scale in pairs]
        query = self.query(x).flatten(2).float()  # [B, C/2, HW]
        keys = [self.match(level).float() for level in levels]  # [B, C/2, h, w] each
        values = torch.cat([self.assembly(level).flatten(2) for level in levels], dim=2).float()  # [B, C, L]
        # Correlation and softmax stay in float32: the scale of 10 would magnify bfloat16's rounding.
        with torch.autocast(x.device.type, enabled=False):
            scores = [self._score(key, query, height, width) for key in keys]  # [B, hw, HW] each
            if self.scope == "joint":
                attention = torch.cat(scores, dim=1).softmax(dim=1)
            else:
                attention = torch.cat([score.softmax(dim=1) for score in scores], dim=1) / len(scores)
            parts = attention.split([h * w for h, w in sizes], dim=1)
            spread = [
                _diagonal_sum(part.view(batch, h, w, height, width)).flatten(3).flatten(1, 2)
                for part, (h, w) in zip(parts, sizes, strict=True)
            ]
            out = values @ torch.cat(spread, dim=1) / 4  # [B, C, HW]
        return x + out.view_as(x).to(x.dtype)

    def _score(self, key: Tensor, query: Tensor, height: int, width: int) -> Tensor:
        """Return the scaled correlations of normalised key patches with query patches: [B, hw, HW]."""
        batch, _, h, w = key.shape
        pixels = key.flatten(2).transpose(1, 2) @ query  # [B, hw, HW]
        patches = _diagonal_sum(pixels.view(batch, h, w, height, width))
        # A patch's squared norm is the 3x3 sum of its pixels' squared norms, zeros outside.
        norm = (9 * F.avg_pool2d(key.square().sum(1, keepdim=True), 3, 1, 1)).clamp_min(1e-8).sqrt()  # floor 1e-4
        return (patches * (self.softmax_scale / norm).view(batch, h, w, 1, 1)).flatten(3).flatten(1, 2)

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return how many more multiply-adds the published patch form needs for one input of `shape` [B, C, H, W].

        Both of its products are nine times as large as those made here.
        """
        batch, channels, height, width = shape
        keys = sum(h * w for h, w in self.sizes(height, width))
        inner = self.match[0].out_channels
        return 8 * batch * keys * height * width * (int(inner) + channels)


def _shrink(x: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    # scale_factor, not size, as published: the sampling grid follows the factor, not the cut-off size.
    small = F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False, recompute_scale_factor=False)
    assert small.shape[-2:] == size
    return small


def _diagonal_sum(x: Tensor) -> Tensor:
    """Sum [B, h, w, H, W] over the nine common shifts of (h, H) and (w, W), zeros outside."""
    y = x.clone()
    y[:, 1:, :, 1:] += x[:, :-1, :, :-1]
    y[:, :-1, :, :-1] += x[:, 1:, :, 1:]
    z = y.clone()
    z[:, :, 1:, :, 1:] += y[:, :, :-1, :, :-1]
    z[:, :, :-1, :, :-1] += y[:, :, 1:, :, 1:]
    return z
