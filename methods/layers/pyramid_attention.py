"""Pyramid attention (Mei et al. 2020), batched and without unfolded patches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PaScope = Literal["joint", "per-level"]
Size = tuple[int, int]  # height and width
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

    def sizes(self, height: int, width: int) -> list[Size]:
        """Return the height and width of each level; sizes are cut to whole pixels, 798 keys in all at 16x16."""
        return [(int(scale * height), int(scale * width)) for scale in self.scales]

    def forward(self, x: Tensor) -> Tensor:
        grid = (x.shape[2], x.shape[3])
        sizes = self.sizes(*grid)
        pairs = zip(sizes, self.scales, strict=True)
        levels = [x if size == grid else _shrink(x, size, scale) for size, scale in pairs]
        pixels = torch.cat([level.flatten(2) for level in levels], dim=2).unsqueeze(2)  # [B, C, 1, L]
        query = self.query(x).flatten(2).float()  # [B, C/2, HW]
        keys = self.match(pixels).squeeze(2).float()  # [B, C/2, L]
        values = self.assembly(pixels).squeeze(2).float()  # [B, C, L]
        # Correlation and softmax stay in float32: the scale of 10 would magnify bfloat16's rounding.
        # The meta device, on which networks are counted, has no autocast of its own.
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            scores = _Correlate.apply(query, keys, self._weigh(keys, sizes), sizes, grid)  # [B, L, HW]
            if self.scope == "joint":
                attention = scores.softmax(dim=1)
            else:
                parts = [scores[:, span].softmax(dim=1) for _, span in _spans(sizes)]
                attention = torch.cat(parts, dim=1) / len(parts)
            out = _Assemble.apply(attention, values, sizes, grid) / 4  # [B, C, HW]
        return x + out.view_as(x).to(x.dtype)

    def _weigh(self, keys: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Return the softmax's scale over the norm of each key's patch: [B, L]."""
        squares = keys.square().sum(dim=1, keepdim=True)  # [B, 1, L]
        # A patch's squared norm is the 3x3 sum of its pixels' squared norms, zeros outside.
        means = [F.avg_pool2d(squares[..., span].unflatten(2, size), 3, 1, 1) for size, span in _spans(sizes)]
        norms = (9 * torch.cat([mean.flatten(1) for mean in means], dim=1)).clamp_min(1e-8).sqrt()  # floor 1e-4
        return self.softmax_scale / norms

    def saved_multiply_adds(self, shape: torch.Size) -> int:
        """Return how many more multiply-adds the published patch form needs for one input of `shape` [B, C, H, W].

        Both of its products are nine times as large as those made here.
        """
        batch, channels, height, width = shape
        keys = sum(h * w for h, w in self.sizes(height, width))
        inner = self.match[0].out_channels
        return 8 * batch * keys * height * width * (int(inner) + channels)


def _spans(sizes: Sequence[Size]) -> list[tuple[Size, slice]]:
    """Return each level's size and where its pixels lie among those of all levels."""
    ends = list(itertools.accumulate(h * w for h, w in sizes))
    return [(size, slice(end - size[0] * size[1], end)) for size, end in zip(sizes, ends, strict=True)]


class _Correlate(torch.autograd.Function):
    """Correlate patches of keys [B, C, L] with those of the query [B, C, HW], times a weight a key: [B, L, HW].

    Kept for the backward pass are the inputs alone. Products of pixels are cheap to make again, and it is tensors as
    large as the result that decide how much memory a training step needs.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, weight: Tensor, sizes: Sequence[Size], grid: Size) -> Tensor:
        ctx.save_for_backward(query, keys, weight)
        ctx.sizes, ctx.grid = sizes, grid
        scores = query.new_empty(len(query), keys.shape[2], query.shape[2])
        for size, span in _spans(sizes):
            patches = _diagonal_sum(keys[..., span].transpose(1, 2) @ query, size, grid)
            torch.mul(patches, weight[:, span].unsqueeze(2), out=scores[:, span])
        return scores

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, keys, weight = ctx.saved_tensors
        of_query, of_keys, of_weight = torch.zeros_like(query), [], []
        for size, span in _spans(ctx.sizes):
            key, part = keys[..., span], grad[:, span]
            patches = _diagonal_sum(key.transpose(1, 2) @ query, size, ctx.grid)
            of_weight.append(patches.mul_(part).sum(dim=2))
            products = _diagonal_sum(part * weight[:, span].unsqueeze(2), size, ctx.grid)
            of_query = torch.baddbmm(of_query, key, products)
            of_keys.append(query @ products.transpose(1, 2))
        return of_query, torch.cat(of_keys, dim=2), torch.cat(of_weight, dim=1), None, None


class _Assemble(torch.autograd.Function):
    """Add up patches of values [B, C, L] as attention [B, L, HW] weighs them, where they overlap too: [B, C, HW]."""

    @staticmethod
    def forward(ctx: Any, attention: Tensor, values: Tensor, sizes: Sequence[Size], grid: Size) -> Tensor:
        ctx.save_for_backward(attention, values)
        ctx.sizes, ctx.grid = sizes, grid
        out = values.new_zeros(*values.shape[:2], attention.shape[2])
        for size, span in _spans(sizes):
            out = torch.baddbmm(out, values[..., span], _diagonal_sum(attention[:, span], size, grid))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        attention, values = ctx.saved_tensors
        of_attention, of_values = torch.empty_like(attention), []
        for size, span in _spans(ctx.sizes):
            of_values.append(grad @ _diagonal_sum(attention[:, span], size, ctx.grid).transpose(1, 2))
            of_attention[:, span] = _diagonal_sum(values[..., span].transpose(1, 2) @ grad, size, ctx.grid)
        return of_attention, torch.cat(of_values, dim=2), None, None


def _diagonal_sum(pairs: Tensor, size: Size, grid: Size) -> Tensor:
    """Sum [B, hw, HW] over the nine common shifts of (h, H) and (w, W), zeros outside.

    It is its own adjoint: the gradient of a sum is the sum of the gradient.
    """
    x = pairs.view(len(pairs), *size, *grid)
    y = x.clone()
    y[:, 1:, :, 1:] += x[:, :-1, :, :-1]
    y[:, :-1, :, :-1] += x[:, 1:, :, 1:]
    z = y.clone()
    z[:, :, 1:, :, 1:] += y[:, :, :-1, :, :-1]
    z[:, :, :-1, :, :-1] += y[:, :, 1:, :, 1:]
    return z.flatten(3).flatten(1, 2)


def _shrink(x: Tensor, size: Size, scale: float) -> Tensor:
    # scale_factor, not size, as published: the sampling grid follows the factor, not the cut-off size.
    small = F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False, recompute_scale_factor=False)
    assert small.shape[-2:] == size
    return small
