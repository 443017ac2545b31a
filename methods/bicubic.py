"""Bicubic interpolation, bit for bit as PIL does it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from bench import register


@register(
    "bicubic",
    title="Bicubic",
    year=1981,
    paper="Keys, Cubic convolution interpolation for digital image processing",
    venue="IEEE TASSP 29(6):1153-1160",
    tags=["interpolation"],
    scales=[2, 4, 8, 16],
    trainable=False,
)
class Bicubic(nn.Module):
    """Enlarge pictures by PIL's bicubic on 8 bits; any device and float type."""

    def __init__(self, scale: int = 8) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        levels = (lr.detach().float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        size = (lr.shape[-1] * self.scale, lr.shape[-2] * self.scale)
        large = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in levels]
        return torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2).to(lr) / 255
