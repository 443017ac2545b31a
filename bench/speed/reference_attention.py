"""Pyramid attention as published: image by image, patches as kernels (Mei et al. 2020, PANet)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from methods.layers.pyramid_attention import PyramidAttention


def attend(layer: PyramidAttention, x: Tensor) -> Tensor:
    """Compute what `layer` ("joint" scope) computes of [B, C, H, W], in the published way: [B, C, H, W].

    The 3x3 patches of all levels become the kernels of a convolution, which correlates them with the query, and of a
    transposed convolution, which adds them up. Kernels differ from image to image, hence the loop.
    """
    return torch.cat([_attend_one(layer, image) for image in torch.split(x, 1)])


def _attend_one(layer: PyramidAttention, image: Tensor) -> Tensor:
    keys, values = [], []
    for scale in layer.scales:
        level = image
        if scale != 1:
            level = F.interpolate(image, scale_factor=scale, mode="bicubic", align_corners=False)
        keys.append(_patches(layer.match(level)))
        values.append(_patches(layer.assembly(level)))
    kernels = torch.cat(keys)  # [L, C/2, 3, 3]
    norms = kernels.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-4)
    scores = F.conv2d(layer.query(image), kernels / norms, padding=1)  # [1, L, H, W]
    attention = (scores * layer.softmax_scale).softmax(dim=1)
    return image + F.conv_transpose2d(attention, torch.cat(values), padding=1) / 4


def _patches(level: Tensor) -> Tensor:
    """Return the 3x3 patches of [1, C, h, w], zeros outside, as kernels [hw, C, 3, 3]."""
    return F.unfold(level, 3, padding=1)[0].t().reshape(-1, level.shape[1], 3, 3)
